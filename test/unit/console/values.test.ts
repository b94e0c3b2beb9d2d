/** How the console writes values, and what it keeps in addresses. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  formatAge,
  formatBytes,
  formatCost,
  formatCount,
  formatDuration,
  formatExactTime,
  formatTime,
  shortId,
  toLine,
  toVisible,
} from '../../../console/lib/format.ts';
import { formatFilter, noFilter, parseFilter, toSearchQuery } from '../../../console/lib/task-filter.ts';
import { createParams, emptyDraft, findProblem } from '../../../console/lib/draft.ts';
import { toCli, toCurl, toTypeScript } from '../../../console/lib/snippets.ts';

describe('values', () => {
  const cases: [write: (value: number) => string, [value: number, text: string][]][] = [
    [
      formatDuration,
      [
        [-5, '0 ms'],
        [340.4, '340 ms'],
        [2_440, '2.4 s'],
        [59_949, '59.9 s'],
        [59_960, '1 m 00 s'],
        [3_599_600, '1 h 00 m'],
        [7_500_000, '2 h 05 m'],
        [273_600_000, '3 d 4 h'],
      ],
    ],
    [
      formatAge,
      [
        [-100, 'now'],
        [59_999, '59 s'],
        [60_000, '1 m'],
        [86_400_000, '1 d'],
        [86_400_000 * 20, '2 w'],
      ],
    ],
    [
      formatCost,
      [
        [0, '0'],
        [0.000_000_1, '< 0.000001'],
        [0.004_12, '0.0041'],
        [1234.5, '1,234.50'],
      ],
    ],
    [
      formatCount,
      [
        [950, '950'],
        [9_999, '9,999'],
        [12_345, '12.3k'],
        [4_100_000, '4.1M'],
      ],
    ],
    [
      formatBytes,
      [
        [12, '12 B'],
        [3_482, '3.4 KiB'],
        [1_258_291, '1.2 MiB'],
      ],
    ],
  ];
  for (const [write, values] of cases) {
    test(`are written by ${write.name}`, () => {
      assert.deepEqual(
        values.map(([value]) => write(value)),
        values.map(([, text]) => text),
      );
    });
  }

  test('are times in the zone of the reader, exact to the millisecond', () => {
    const at = '2026-11-01T12:34:56.789Z';
    assert.equal(formatExactTime(at, 'Europe/Berlin'), '01 Nov 2026, 13:34:56.789 CET');
    assert.equal(formatTime(at, Date.parse(at), 'UTC'), '12:34:56');
    assert.equal(formatTime(at, Date.parse(at) + 86_400_000, 'UTC'), '1 Nov, 12:34');
    assert.equal(formatExactTime('no time'), 'no time');
  });

  test('show the characters that would hide or reorder others', () => {
    assert.equal(toVisible('photo\u{202e}gpj.exe\u{1b}[0m'), String.raw`photo\u{202e}gpj.exe\u{1b}[0m`);
    assert.equal(toLine('a\u{2066}\tb', 20), String.raw`a\u{2066} b`);
    assert.equal(toVisible('日本語 👩‍💻'), '日本語 👩‍💻');
  });

  test('are shortened at the end of a line, and ids to their end', () => {
    assert.equal(toLine(' a\n b ', 10), 'a b');
    assert.equal(toLine('abcdef', 4), 'abc…');
    assert.equal(shortId('019ad3a0-2c00-7a61-9b4b-0d6c5a3f1e20'), '5a3f1e20');
  });
});

describe('the filter of tasks', () => {
  test('survives the way through an address', () => {
    const filter = {
      ...noFilter,
      states: ['TASK_STATE_WORKING', 'TASK_STATE_AUTH_REQUIRED'],
      error: 'a&b=c %20',
      webhook: 'failing',
      within: '24h',
      metadataKey: 'https://example.com/x',
    } as const;
    assert.equal(formatFilter(filter).slice(0, 29), '?state=working,auth_required&');
    assert.deepEqual(parseFilter(formatFilter(filter)), filter);
    assert.equal(formatFilter(noFilter), '');
  });

  test('leaves out what is not valid', () => {
    assert.deepEqual(parseFilter('?state=nope,,WORKING&webhook=x&within=toString'), noFilter);
  });

  test('becomes the query of a search', () => {
    const query = toSearchQuery({ ...noFilter, states: ['TASK_STATE_FAILED'], within: '1h' }, 3_600_000);
    assert.equal(
      query.toString(),
      'pageSize=100&state=TASK_STATE_FAILED&createdSince=1970-01-01T00%3A00%3A00.000Z',
    );
  });
});

describe('a new message', () => {
  test('is refused with what would be accepted', () => {
    assert.match(findProblem(emptyDraft) ?? '', /text, or add a file or data/);
    assert.match(findProblem({ ...emptyDraft, data: '{"a":' }) ?? '', /not valid JSON/);
    assert.match(findProblem({ ...emptyDraft, text: 'a', webhook: 'example' }) ?? '', /must be a URL/);
    const times = { startAt: '2027-01-02T00:00', deadline: '2027-01-01T00:00' };
    assert.match(findProblem({ ...emptyDraft, text: 'a', ...times }) ?? '', /after the start/);
    assert.equal(findProblem({ ...emptyDraft, data: 'null' }), undefined);
  });

  test('has parts, webhook and metadata only for what was filled in', () => {
    assert.deepEqual(createParams({ ...emptyDraft, text: 'a' }, 'm'), {
      message: { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'a' }] },
      configuration: { returnImmediately: true },
    });
    const full = createParams(
      { ...emptyDraft, data: 'null', webhook: 'https://example.com/', events: 'end', contextId: ' c ' },
      'm',
    );
    assert.deepEqual(full.message.parts, [{ data: null, mediaType: 'application/json' }]);
    assert.equal(full.message.contextId, 'c');
    assert.deepEqual(full.metadata, { 'https://longhaul.dev/ext/webhooks/v1': { events: 'end' } });
  });
});

describe('snippets', () => {
  const params = createParams({ ...emptyDraft, text: "It's $HOME" }, 'm');
  const target = { url: 'http://localhost:8080', auth: 'none' } as const;

  test('quote a text for the shell', () => {
    assert.ok(toCurl(target, params).includes(String.raw`It'\''s $HOME`));
    assert.equal(
      toCli(target, params),
      String.raw`npx longhaul send 'It'\''s $HOME' --url http://localhost:8080`,
    );
  });

  test('name the credential, and never contain it', () => {
    assert.ok(toCurl({ ...target, auth: 'key' }, params).includes('-H "x-api-key: $LONGHAUL_API_KEY"'));
    assert.ok(
      toTypeScript({ ...target, auth: 'token' }, params).includes('Bearer ${process.env.LONGHAUL_API_KEY}'),
    );
  });

  test('are a program that sends the same', () => {
    assert.ok(toTypeScript(target, params).includes(`agent.send("It's $HOME");`));
  });
});
