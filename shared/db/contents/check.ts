/** Checks at the start whether stored contents can be read. */
import { sql } from 'kysely';
import { NotReadyError } from '../../runtime/health.ts';
import { errorMessage } from '../../runtime/log.ts';
import type { Db } from '../client/pool.ts';
import { createKey, DestroyedKeyError, unwrapKey, type KeyParts, type KeyRow } from './keys.ts';

/**
 * No caller has this owner. Its key exists as soon as a process has a master key, so that one with another master key finds out
 * before it stores anything.
 */
const ownerOfChecks = '';

/**
 * @param parts undefined: contents are not encrypted
 * @throws {NotReadyError}
 */
export async function checkContentKeys(db: Db, parts: KeyParts | undefined): Promise<void> {
  if (parts === undefined) {
    const row = await db.selectFrom('content_keys').select('id').limit(1).executeTakeFirst();
    if (row === undefined) return;
    throw new NotReadyError(
      'keys_lost',
      'contents were stored encrypted: set CONTENT_ENCRYPTION_KEYS or CONTENT_KMS_KEY as before',
    );
  }
  await checkSamples(db, parts);
  const first = await db
    .selectFrom('content_keys')
    .select('id')
    .where('owner', '=', ownerOfChecks)
    .executeTakeFirst();
  if (first !== undefined) return;
  await createKey(db, parts, ownerOfChecks);
  // Another process may have been first, with another master key.
  await checkSamples(db, parts);
}

async function checkSamples(db: Db, parts: KeyParts): Promise<void> {
  for (const row of await readSamples(db)) await checkKey(parts, row);
}

async function checkKey(parts: KeyParts, row: KeyRow): Promise<void> {
  try {
    await unwrapKey(parts, row);
  } catch (error) {
    const isDestroyed = error instanceof DestroyedKeyError;
    // A restored backup has rows of keys that were destroyed since.
    if (isDestroyed && row.owner !== ownerOfChecks) return;
    const problem = isDestroyed
      ? 'CONTENT_KEY_STORE is another one than before: it does not have them'
      : errorMessage(error);
    throw new NotReadyError(
      'keys_lost',
      `the keys of contents cannot be unwrapped by CONTENT_ENCRYPTION_KEYS or CONTENT_KMS_KEY: ${problem}`,
    );
  }
}

/** Returns a key for each master key that has wrapped any, by the format of crypto/encryption.ts, and one of the key store. */
async function readSamples(db: Db): Promise<KeyRow[]> {
  const { rows } = await sql<KeyRow>`
    select distinct on (split_part(wrapped, '.', 2)) id, owner, wrapped from content_keys
    order by split_part(wrapped, '.', 2), owner`.execute(db);
  return rows;
}
