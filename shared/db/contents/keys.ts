/**
 * The data keys of owners, in the table `content_keys`. An owner has one key at a time; its earlier ones are retired
 * (contents/destroy.ts). Keys are cached for a short time: one that was retired or destroyed is not used for longer.
 */
import { createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { DataKey, KeyStore, MasterKey } from '../../crypto/content-cipher.ts';
import { DecryptionError } from '../../crypto/encryption.ts';
import { MasterKeyError } from '../../domain/errors.ts';
import { errorMessage } from '../../runtime/log.ts';
import type { Db } from '../client/pool.ts';
import { createExpiringCache } from './cache.ts';

/** For how long a process encrypts with a key before it asks the database whether the key is retired. */
export const encryptsMs = 2_000;
/** For how long a process decrypts with a key before it asks the database whether the key still exists. */
const decryptsMs = 10_000;
const maxCached = 10_000;
const keyBytes = 32;

/** The key of an owner was destroyed: the contents cannot be read again. */
export class DestroyedKeyError extends DecryptionError {
  override readonly name = 'DestroyedKeyError';
}

/** Where keys are, and what they are wrapped with. */
export interface KeyParts {
  master: MasterKey;
  /** Undefined: the database has the wrapped keys. */
  store: KeyStore | undefined;
}

export interface KeyRow {
  id: string;
  owner: string;
  /** Null: it is in the key store. */
  wrapped: string | null;
}

export interface ContentKeys {
  /**
   * Returns the key of an owner, which is created if there is none.
   *
   * @param taskId of a task that was stored before. A key is then created only if the task still exists
   * @returns undefined: it does not exist
   */
  getOwn(owner: string, taskId?: string): Promise<DataKey | undefined>;
  /** @throws {DestroyedKeyError} */
  get(id: string): Promise<DataKey>;
  /** Returns the owners of tasks. Removed tasks are left out. */
  getOwners(taskIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
}

export function createContentKeys(db: Db, parts: KeyParts): ContentKeys {
  /** Unwrapped keys stay valid as long as their row exists. */
  const unwrapped = createExpiringCache<DataKey>({ max: maxCached, ageMs: Infinity });
  const existing = createExpiringCache<true>({ max: maxCached, ageMs: decryptsMs });
  const own = createExpiringCache<string>({ max: maxCached, ageMs: encryptsMs });
  const owners = createExpiringCache<string>({ max: maxCached, ageMs: Infinity });

  const unwrap = async (row: KeyRow): Promise<DataKey> =>
    unwrapped.get(row.id, async () => {
      const bytes = await unwrapKey(parts, row).catch((error: unknown) => {
        if (error instanceof DestroyedKeyError) throw error;
        // With another master key, everything waits: no task fails for it.
        throw new MasterKeyError(errorMessage(error));
      });
      return { id: row.id, owner: row.owner, key: createSecretKey(bytes) };
    });

  async function findOwn(owner: string): Promise<string | undefined> {
    const row = await db
      .selectFrom('content_keys')
      .select(['id', 'owner', 'wrapped'])
      .where('owner', '=', owner)
      .where('retired_at', 'is', null)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    await unwrap(row);
    return row.id;
  }

  async function loadOwn(owner: string, taskId: string | undefined): Promise<string> {
    const found = await findOwn(owner);
    if (found !== undefined) return found;
    await createKey(db, parts, owner, taskId);
    const created = await findOwn(owner);
    if (created === undefined) throw new NoTaskError();
    return created;
  }

  async function get(id: string): Promise<DataKey> {
    await existing.get(id, async () => {
      const row = await db
        .selectFrom('content_keys')
        .select(['id', 'owner', 'wrapped'])
        .where('id', '=', id)
        .executeTakeFirst();
      if (row === undefined) {
        unwrapped.delete(id);
        throw new DestroyedKeyError('The key of these contents was destroyed: they cannot be read again');
      }
      await unwrap(row);
      return true;
    });
    const key = await unwrapped.peek(id);
    // Others have pushed it out of the cache since.
    if (key === undefined) existing.delete(id);
    return key ?? get(id);
  }

  return {
    get,
    getOwn: async (owner, taskId) => {
      for (;;) {
        try {
          const id = await own.get(owner, () => loadOwn(owner, taskId));
          return (await unwrapped.peek(id)) ?? (await get(id));
        } catch (error) {
          if (!(error instanceof NoTaskError)) throw error;
          if (taskId !== undefined) return undefined;
          // The load was shared with a call for a removed task.
        }
      }
    },
    getOwners: async (taskIds) => {
      const found = new Map<string, string>();
      const missing: string[] = [];
      for (const taskId of new Set(taskIds)) {
        const owner = await owners.peek(taskId);
        if (owner === undefined) missing.push(taskId);
        else found.set(taskId, owner);
      }
      if (missing.length === 0) return found;
      const rows = await db.selectFrom('tasks').select(['id', 'owner']).where('id', 'in', missing).execute();
      for (const { id, owner } of rows) {
        found.set(id, owner);
        await owners.get(id, () => Promise.resolve(owner));
      }
      return found;
    },
  };
}

/** The task was removed, so that its owner may have been forgotten: no key is created for it. */
class NoTaskError extends Error {}

/** Creates the key of an owner unless there is one. */
export async function createKey(
  db: Db,
  { master, store }: KeyParts,
  owner: string,
  taskId?: string,
): Promise<void> {
  const id = randomUUID();
  const wrapped = await master.wrap(randomBytes(keyBytes), owner);
  await store?.write(id, wrapped);
  const { numAffectedRows } = await sql`
    insert into content_keys (id, owner, wrapped)
    select ${id}::uuid, ${owner}, ${store === undefined ? wrapped : null}
    where ${taskId ?? null}::uuid is null or exists (select from tasks where id = ${taskId ?? null}::uuid)
    on conflict (owner) where retired_at is null do nothing`.execute(db);
  // Another process has created one.
  if (numAffectedRows === 0n) await store?.delete(id);
}

/** @throws {DestroyedKeyError} if the key store no longer has it, as after a backup of the database was restored */
export async function unwrapKey({ master, store }: KeyParts, row: KeyRow): Promise<Buffer> {
  if (row.wrapped === null && store === undefined) {
    throw new DecryptionError(
      'the keys of contents are not in the database: set CONTENT_KEY_STORE as before',
    );
  }
  const wrapped = row.wrapped ?? (await store?.read(row.id));
  if (wrapped === undefined) {
    throw new DestroyedKeyError('The key of these contents was destroyed: they cannot be read again');
  }
  return master.unwrap(wrapped, row.owner);
}
