import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteWriter, toJsonPieces } from '#shared/runtime/json-bytes.ts';

const piece = 16 * 1024;
const long = 'x'.repeat(3 * piece);

describe('JSON in pieces', () => {
  for (const [what, value] of Object.entries<unknown>({
    'a number': 1,
    null: null,
    'undefined, as in an array': [undefined, long],
    'an empty text': '',
    'a text as long as a piece': 'x'.repeat(piece),
    'surrogate pairs at all borders': `x${'🎉'.repeat(2 * piece)}`,
    'halves of surrogate pairs': `${'x'.repeat(piece - 1)}\ud83c${'x'.repeat(piece)}\udf89`,
    'control characters, quotes and backslashes': '\u0000"\\\n\u2028'.repeat(piece),
    'other scripts': 'ещё 長い ยาว '.repeat(piece),
    'empty objects and arrays': [{}, [], { a: {} }, long],
    'many small values': Array.from({ length: 20_000 }, (_, at) => ({ at, even: at % 2 === 0 })),
    'large members in nested objects': { a: [{ b: long, c: undefined, d: [long, 1.5] }], [long]: 'name' },
    'members without a value': { a: undefined, [long]: undefined },
    'an object with toJSON': [new Date(0), long],
  })) {
    test(`are the JSON of the whole: ${what}`, () => {
      const pieces = [...toJsonPieces(value)];
      const expected = JSON.stringify(value) ?? 'null';
      assert.ok(pieces.join('') === expected, `the JSON differs: ${what}`);
      const writer = new ByteWriter(1);
      for (const text of pieces) writer.add(text);
      assert.ok(writer.view().equals(Buffer.from(expected)), 'the bytes differ');
      assert.equal(writer.length, Buffer.byteLength(expected));
    });
  }

  test('are short', () => {
    const value = {
      texts: [long.repeat(20), { text: long.repeat(20) }],
      small: Array.from({ length: 9_000 }, () => 'y'),
    };
    for (const text of toJsonPieces(value)) assert.ok(text.length < 2 * piece, `${text.length} characters`);
  });

  test('can be dropped after the first bytes', () => {
    const writer = new ByteWriter(4);
    writer.add('äbc');
    writer.truncate(2);
    writer.add('-d');
    assert.equal(writer.view().toString(), 'ä-d');
    assert.equal(writer.view(2).toString(), '-d');
  });
});

describe('JSON with many values', () => {
  const nested = (value: unknown, depth: number): unknown =>
    depth === 0 ? value : [nested(value, depth - 1), { a: depth }];
  const many = Array.from({ length: 49_000 }, (_, at) => at);
  const object = Object.fromEntries(many.map((at) => [`name${at}`, at]));

  for (const [what, value] of Object.entries<unknown>({
    'numbers in deep arrays': nested(many, 95),
    'members of an object in deep arrays': nested(object, 95),
    'large containers at each depth': Array.from({ length: 90 }).reduce<unknown>(
      (inner) => ({ inner, numbers: many.slice(0, 500), text: long }),
      [],
    ),
  })) {
    test(`takes few pieces: ${what}`, () => {
      const pieces = [...toJsonPieces(value)];
      const expected = JSON.stringify(value);
      assert.ok(pieces.join('') === expected, 'the JSON differs');
      assert.ok(pieces.length <= 3 + 3 * (expected.length / piece), `${pieces.length} pieces`);
    });
  }
});
