/**
 * Replaces and destroys the keys of owners. An owner that is forgotten first gets another key for what it sends
 * from then on (its key is retired); the old one is destroyed once no process encrypts with it and its contents are deleted.
 */
import { setTimeout } from 'node:timers/promises';
import { sql } from 'kysely';
import type { KeyStore } from '../../crypto/content-cipher.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { encryptsMs, unwrapKey, type KeyParts, type KeyRow } from './keys.ts';

/** Time for statements that started with a key before it was retired. */
const marginMs = 3_000;

/** Retires the key of an owner, and waits until no process encrypts with it. */
export async function retireContentKey(db: Db, owner: string): Promise<void> {
  await db
    .updateTable('content_keys')
    .set({ retired_at: sql`now()` })
    .where('owner', '=', owner)
    .where('retired_at', 'is', null)
    .execute();
  const { rows } = await sql<{ ms: number | null }>`
    select (extract(epoch from max(retired_at) + ${seconds((encryptsMs + marginMs) / 1000)} - now()) * 1000)::float8 as ms
    from content_keys where owner = ${owner}`.execute(db);
  await setTimeout(Math.max(0, rows[0]?.ms ?? 0));
}

/**
 * Destroys the retired keys of an owner.
 *
 * @returns how many
 */
export async function destroyContentKeys(
  db: Db,
  store: KeyStore | undefined,
  owner: string,
): Promise<number> {
  const keys = await db
    .selectFrom('content_keys')
    .select(['id', 'wrapped'])
    .where('owner', '=', owner)
    .where('retired_at', 'is not', null)
    .execute();
  for (const { id } of keys) {
    await store?.delete(id);
    await db.deleteFrom('content_keys').where('id', '=', id).execute();
  }
  return keys.length;
}

/** Returns whether a key of an owner is in the key store. */
export async function isInKeyStore(db: Db, owner: string): Promise<boolean> {
  const row = await db
    .selectFrom('content_keys')
    .select('id')
    .where('owner', '=', owner)
    .where('wrapped', 'is', null)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Data keys that are wrapped again at the same time: each may take two calls of Cloud KMS. */
const concurrency = 16;

/**
 * Wraps all data keys again, with the current master key, and moves them to the key store if there is one.
 *
 * @returns how many
 */
export async function rewrapContentKeys(db: Db, parts: KeyParts): Promise<number> {
  const rows = await db.selectFrom('content_keys').select(['id', 'owner', 'wrapped']).execute();
  const rewrap = async (row: KeyRow): Promise<void> => {
    const wrapped = await parts.master.wrap(await unwrapKey(parts, row), row.owner);
    await parts.store?.write(row.id, wrapped);
    const { numUpdatedRows } = await db
      .updateTable('content_keys')
      .set({ wrapped: parts.store === undefined ? wrapped : null })
      .where('id', '=', row.id)
      .executeTakeFirst();
    // Destroyed meanwhile.
    if (numUpdatedRows === 0n) await parts.store?.delete(row.id);
  };
  for (let from = 0; from < rows.length; from += concurrency) {
    await Promise.all(rows.slice(from, from + concurrency).map(rewrap));
  }
  return rows.length;
}
