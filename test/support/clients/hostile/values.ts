/** Hostile values for any field of a request, and ways to combine them. */
import * as fc from 'fast-check';

export interface HostileValues {
  text: fc.Arbitrary<string>;
  number: fc.Arbitrary<number>;
  /** Values of any type. */
  hostile: fc.Arbitrary<unknown>;
  /** One value in five is hostile. */
  mostly: <T>(arbitrary: fc.Arbitrary<T>) => fc.Arbitrary<unknown>;
  /** Objects with some of the fields. */
  object: (fields: Record<string, fc.Arbitrary<unknown>>) => fc.Arbitrary<Record<string, unknown>>;
}

/** Placeholders for arrays that are nested too deeply for JSON.stringify. */
const deepArrays = ['@deep:90', '@deep:101', '@deep:3000', '@deep:9000', '@deep:60000'];

/** Serializes a hostile value. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value);
  return text.replaceAll(
    /"@deep:(\d+)"/g,
    (_, depth) => '['.repeat(Number(depth)) + ']'.repeat(Number(depth)),
  );
}

/** @param ids of objects that exist, so that some requests find them */
export function createHostileValues(ids: readonly string[]): HostileValues {
  const text: fc.Arbitrary<string> = fc.oneof(
    fc.constantFrom(...ids),
    fc.string({ maxLength: 40 }),
    fc.string({ unit: 'binary', maxLength: 10 }),
    fc.uuid(),
    fc.constantFrom(
      '',
      '\u0000',
      'a\u0000b',
      '\ud800',
      '\udc00x',
      '__proto__',
      'constructor',
      "'; select 1; --",
      '%00',
      '../../..',
      'x'.repeat(5000),
      'http://[::1',
      'http://169.254.169.254/',
      '2026-01-01T00:00:00Z',
      '-271821-04-20T00:00:00Z',
      '+275760-09-13T00:00:00Z',
      'TASK_STATE_WORKING',
      Buffer.from('a\u0000').toString('base64url'),
    ),
  );
  const number = fc.oneof(
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.constantFrom(0, -0, -1, 0.5, 2 ** 31, 2 ** 53, 1e300, -1e300),
  );
  const hostile: fc.Arbitrary<unknown> = fc.oneof(
    text,
    number,
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom<unknown>(
      null,
      true,
      [],
      {},
      [null],
      [[]],
      { toString: 1 },
      { length: 5 },
      { constructor: null },
    ),
    fc.constantFrom(...deepArrays),
  );
  const mostly = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 4, arbitrary }, { weight: 1, arbitrary: hostile });
  const object = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Record<string, unknown>> =>
    fc.record(fields, { requiredKeys: [] });
  return { text, number, hostile, mostly, object };
}
