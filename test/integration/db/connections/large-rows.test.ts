/** Large values that are sent and received leave no buffers to V8. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { waitFor } from '../../../support/wait-for.ts';

/** A collection in progress may keep freed memory for a moment. Within a second, nothing here starts another one. */
const waitUntilFreed = (before: number): Promise<unknown> =>
  waitFor('the memory to be freed', () => process.memoryUsage().arrayBuffers - before < 1_000_000, {
    boundMs: 1_000,
  });

describe('rows with large values', () => {
  let db: Db;
  before(async () => {
    ({ db } = await connectToTestDatabase());
    await sql`select 1`.execute(db);
  });

  test('are received into one buffer of their size', async (t) => {
    const allocate = t.mock.method(Buffer, 'allocUnsafe');
    const { rows } = await sql<{ text: string }>`select repeat('x', 8000000) as text`.execute(db);
    const bytes = allocate.mock.calls.reduce((sum, { arguments: [size] }) => sum + size, 0);
    assert.equal(rows[0]?.text, 'x'.repeat(8_000_000));
    assert.ok(bytes < 8_100_000, `buffers of ${bytes} bytes`);
  });

  test('leave no memory behind', async () => {
    const before = process.memoryUsage().arrayBuffers;
    await sql`select repeat('x', 8000000) as text`.execute(db);
    await waitUntilFreed(before);
  });

  test('are complete next to other rows, in every script', async () => {
    const { rows } = await sql<{ n: number; text: string; bytes: Buffer | null }>`
      select n, repeat('é😀' || n, n * 20000) as text, case when n > 2 then decode(repeat('ff00', n * 50000), 'hex') end as bytes
      from generate_series(0, 6) n order by n`.execute(db);
    assert.deepEqual(
      rows,
      Array.from({ length: 7 }, (_, n) => ({
        n,
        text: `é😀${n}`.repeat(n * 20_000),
        bytes: n > 2 ? Buffer.from('ff00'.repeat(n * 50_000), 'hex') : null,
      })),
    );
  });

  test('are complete next to rows that are read at the same time', async () => {
    const read = async (n: number): Promise<string | undefined> => {
      const { rows } = await sql<{ text: string }>`select repeat(${`${n}`}::text, 1000000) as text`.execute(
        db,
      );
      return rows[0]?.text;
    };
    const texts = await Promise.all(Array.from({ length: 8 }, (_, n) => read(n)));
    assert.deepEqual(
      texts,
      texts.map((_, n) => `${n}`.repeat(1_000_000)),
    );
  });
});

describe('large values of statements', () => {
  let db: Db;
  before(async () => {
    ({ db } = await connectToTestDatabase());
    await sql`select 1`.execute(db);
  });

  test('leave no memory behind', async () => {
    const text = 'x'.repeat(8_000_000);
    const before = process.memoryUsage().arrayBuffers;
    await sql`select length(${text}::text)`.execute(db);
    await waitUntilFreed(before);
  });

  test('leave the memory that they share with other buffers', async () => {
    const { poolSize } = Buffer;
    Buffer.poolSize = 1024 * 1024;
    try {
      const text = 'x'.repeat(100_000);
      // A pool of this size starts after what is left of the one before.
      const others = Array.from({ length: 100 }, () => Buffer.allocUnsafe(1_000).fill(7));
      const { rows } = await sql`select ${text}::text as text`.execute(db);
      assert.deepEqual(rows, [{ text }]);
      assert.ok(others.every((bytes) => bytes.length === 1_000 && bytes.every((byte) => byte === 7)));
    } finally {
      Buffer.poolSize = poolSize;
    }
  });

  test('are complete, several at the same time', async () => {
    const send = async (n: number): Promise<unknown> => {
      const text = `é😀${n}`.repeat(400_000);
      const bytes = Buffer.alloc(3_000_000, n);
      const { rows } = await sql`select ${text}::text as text, ${bytes}::bytea as bytes`.execute(db);
      assert.deepEqual(rows, [{ text, bytes }]);
      return n;
    };
    assert.deepEqual(await Promise.all([1, 2, 3, 4, 5, 6].map(send)), [1, 2, 3, 4, 5, 6]);
  });
});
