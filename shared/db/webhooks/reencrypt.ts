/**
 * Re-encrypts secrets that were encrypted with another key, in batches of 200. A row that changes meanwhile
 * is skipped: either its secrets were encrypted with the current key, or the next run finds it.
 */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { DecryptionError, type Encryptor } from '../../crypto/encryption.ts';

const batchSize = 200;

/** Columns, and the column name that each was encrypted with (see shared/webhooks/secrets.ts). */
const columns = {
  token: 'token',
  auth_credentials: 'auth_credentials',
  signing_secret: 'signing_secret',
  previous_secret: 'signing_secret',
} as const;
const names = Object.keys(columns) as (keyof typeof columns)[];

export interface Reencrypted {
  reencrypted: number;
  failed: { taskId: string; configId: string; problem: string }[];
}

type Row = { task_id: string; id: string } & Record<keyof typeof columns, string | null>;

/** @param keyId of the key that the encryptor encrypts with */
export async function reencryptSecrets(db: Db, encryptor: Encryptor, keyId: string): Promise<Reencrypted> {
  const result: Reencrypted = { reencrypted: 0, failed: [] };
  let after = { task_id: '00000000-0000-0000-0000-000000000000', id: '' };
  for (;;) {
    const rows = await selectOtherKeys(db, keyId, after);
    for (const row of rows) {
      try {
        if (await reencryptRow(db, encryptor, row)) result.reencrypted += 1;
      } catch (error) {
        if (!(error instanceof DecryptionError)) throw error;
        result.failed.push({ taskId: row.task_id, configId: row.id, problem: error.message });
      }
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < batchSize) return result;
    after = last;
  }
}

async function selectOtherKeys(db: Db, keyId: string, after: Pick<Row, 'task_id' | 'id'>): Promise<Row[]> {
  const prefix = `1.${keyId}.`;
  const { rows } = await sql<Row>`
    select task_id, id, token, auth_credentials, signing_secret, previous_secret from webhook_configs
    where (task_id, id) > (${after.task_id}, ${after.id})
      and not (
        starts_with(coalesce(token, ${prefix}), ${prefix})
        and starts_with(coalesce(auth_credentials, ${prefix}), ${prefix})
        and starts_with(coalesce(signing_secret, ${prefix}), ${prefix})
        and starts_with(coalesce(previous_secret, ${prefix}), ${prefix})
      )
    order by task_id, id limit ${batchSize}`.execute(db);
  return rows;
}

async function reencryptRow(db: Db, encryptor: Encryptor, row: Row): Promise<boolean> {
  const reencrypt = (name: keyof typeof columns) => {
    const place = { taskId: row.task_id, configId: row.id, column: columns[name] };
    const encrypted = row[name];
    return encrypted === null ? null : encryptor.encrypt(encryptor.decrypt(encrypted, place), place);
  };
  const encrypted = Object.fromEntries(names.map((name) => [name, reencrypt(name)]));
  const { numUpdatedRows } = await db
    .updateTable('webhook_configs')
    .set(encrypted)
    .where('task_id', '=', row.task_id)
    .where('id', '=', row.id)
    .where((where) => where.and(names.map((name) => where(name, 'is not distinct from', row[name]))))
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}
