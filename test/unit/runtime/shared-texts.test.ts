import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseWithSharedTexts } from '#shared/runtime/shared-texts.ts';

const long = 'a'.repeat(100_000);
/** The halves of a surrogate pair lie around the length from which texts are shared. */
const pairs = `${'a'.repeat(65_535)}😀${'😀'.repeat(40_000)}`;

describe('parseWithSharedTexts', () => {
  const values: Record<string, unknown> = {
    'a message with large texts': {
      messageId: 'm',
      parts: [{ text: 'small' }, { text: long }, { text: `${long}b` }],
    },
    'the same text twice': { parts: [{ text: long }, { text: long }] },
    'other scripts': {
      parts: [{ text: 'мир '.repeat(30_000) }, { text: '你好'.repeat(50_000) }],
    },
    'surrogate pairs and single halves': {
      parts: [{ text: pairs }, { text: `${long}\ud83d` }, { text: `\ude00${long}` }],
    },
    'escaped characters': {
      parts: [{ text: `${long}\n` }, { text: `"${long}` }, { text: `${long}\\` }, { text: long }],
    },
    'bytes in base64': {
      parts: [{ raw: Buffer.alloc(100_000, 'raw').toString('base64'), mediaType: 'image/png' }],
    },
    'data next to texts': {
      parts: [{ data: [{ deep: [{ text: long }] }, '', {}, [], null, 1.5, true] }, { text: long }],
    },
    'large keys': { [long]: 1, [`${long}b`]: { text: long } },
    'a key with a meaning in JavaScript': JSON.parse(
      `{"__proto__":"${long}","parts":[{"__proto__":{"text":"${long}"}}]}`,
    ),
    'large texts behind many values': {
      data: Array.from({ length: 5_000 }, () => ({ a: [''] })),
      deep: { deep: { text: long } },
    },
    'large texts behind many strings': { data: Array.from({ length: 20_000 }, () => 'a'), text: long },
    'a list of texts': [long, `${long}b`],
    'one text': long,
    'nothing large': { parts: [{ text: '' }, { data: [] }, { data: {} }, { text: '\u0000\u2028' }] },
    'an empty text': '',
    null: null,
  };
  for (const [title, value] of Object.entries(values)) {
    test(`returns the same as JSON.parse for ${title}`, () => {
      const json = JSON.stringify(value);
      assert.deepEqual(parseWithSharedTexts(json), JSON.parse(json));
      const spaced = JSON.stringify(value, undefined, 2);
      assert.deepEqual(parseWithSharedTexts(spaced), JSON.parse(json));
    });
  }

  test('rejects what is not JSON', () => {
    for (const json of ['', '{', `{"text":"${long}`, `{"text":"${long}"`, `["${long}" "${long}"]`]) {
      assert.throws(() => parseWithSharedTexts(json), SyntaxError);
    }
  });
  test('does not copy large texts', () => {
    const json = Buffer.from(
      JSON.stringify({ parts: [{ text: 'x'.repeat(4_000_000) }, { text: 'y'.repeat(4_000_000) }] }),
    );
    const text = json.toString();
    const before = process.memoryUsage().heapUsed;
    const value = parseWithSharedTexts(text);
    const copied = process.memoryUsage().heapUsed - before;
    assert.ok(copied < 1_000_000, `it took ${copied} bytes`);
    assert.deepEqual(value, JSON.parse(text));
  });
});
