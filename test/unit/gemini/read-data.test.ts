import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createDataReader, parseData } from '#services/worker/agent/gemini/conversation/read-data.ts';

const value = { name: 'a "b" {c}', list: [1, 2], open: '[' };
const json = JSON.stringify(value);

describe('parseData', () => {
  for (const [name, text] of [
    ['plain JSON', json],
    ['indented JSON', JSON.stringify(value, null, 2)],
    ['a byte order mark', `\uFEFF${json}`],
    ['a code block', `\`\`\`json\n${json}\n\`\`\``],
    ['a code block without a language', `\n\`\`\`\n${json}\n\`\`\`\n`],
    ['text around the object', `Here it is:\n${json}\nDone [1].`.replace('[1]', '(1)')],
    ['the same object twice', `${json}${json}`],
    ['the same object twice with a line between', `${json}\n\n${JSON.stringify(value, null, 2)}`],
    ['trailing commas', json.replace(']', ',]').replace(/\}$/, ', }')],
  ] as const) {
    test(`reads ${name}`, () => {
      assert.deepEqual(parseData(text), value);
    });
  }

  test('reads scalars and arrays', () => {
    assert.deepEqual(['7', '"a"', 'null', '[1]', '[1][1]', '```json\n[1]\n```'].map(parseData), [
      7,
      'a',
      null,
      [1],
      [1],
      [1],
    ]);
  });

  test('keeps commas and brackets in strings', () => {
    assert.deepEqual(parseData('{"a": "x,]", "b": [1,],}'), { a: 'x,]', b: [1] });
  });

  for (const [name, text] of [
    ['two different objects', '{"a":1}{"a":2}'],
    ['an object that is cut', '{"a":{"b":1}'],
    ['a string that is cut', '{"a":"b'],
    ['text without data', 'I cannot do that.'],
    ['text with a reference', 'It is shown in [1].'],
    ['unquoted names', '{a: 1}'],
    ['nothing', ''],
  ] as const) {
    test(`refuses ${name}`, () => {
      assert.equal(parseData(text), undefined);
    });
  }
});

describe('a data reader', () => {
  test('reports where an answer does not match the schema', async () => {
    const read = createDataReader({ type: 'object', properties: { n: { type: 'number' } }, required: ['n'] });
    assert.deepEqual(await read('{"n":1}'), { data: { n: 1 } });
    const { problem } = (await read('{"n":"1"}')) as { problem: string };
    assert.match(problem, /does not match the response schema: .*n must be number/);
  });

  test('accepts any data without a schema, and with one that cannot be compiled', async () => {
    for (const schema of [undefined, { type: 'object', properties: { a: { pattern: '(' } } }]) {
      assert.deepEqual(await createDataReader(schema)('{"a":"b"}'), { data: { a: 'b' } });
    }
  });
});
