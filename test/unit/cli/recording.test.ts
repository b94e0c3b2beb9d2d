/** The recording of a terminal in docs/use/cli.md. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toCast } from '../../tools/recording/cast.ts';
import { renderSvg } from '../../tools/recording/svg.ts';

const [bold, dim, normal] = ['\u001b[1m', '\u001b[2m', '\u001b[22m'];
const events = [
  { at: 0, text: `${bold}$ ${normal}echo "<"\r\n` },
  { at: 0.5, text: `${dim}task 1${normal}\r\n6 * 7` },
  { at: 1, text: ' = 42\r\n' },
];

describe('the recording of a terminal', () => {
  test('is a picture with the styles of each line, and the time of each piece', () => {
    const svg = renderSvg(events);
    const [first, second, third, ...others] = svg.match(/<text.*<\/text>/g) ?? [];
    assert.match(first ?? '', /<tspan class="bold" style="animation-delay:0s">\$ <\/tspan>.*echo "&lt;"/);
    assert.match(second ?? '', /<tspan class="dim" style="animation-delay:0\.5s">task 1</);
    assert.match(third ?? '', /delay:0\.5s">6 \* 7<.*delay:1s"> = 42</);
    assert.deepEqual(others, []);
    const wide = renderSvg([{ at: 0, text: 'x'.repeat(150) }]).match(/<text/g);
    assert.equal(wide?.length, 2, 'long lines are wrapped');
  });

  test('is a file that asciinema plays', () => {
    const [header, ...lines] = toCast(events)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual([header.version, header.height], [2, 4]);
    assert.deepEqual(
      lines.map(([at, kind]) => [at, kind]),
      [
        [0, 'o'],
        [0.5, 'o'],
        [1, 'o'],
      ],
    );
  });
});
