/**
 * Re-encrypts secrets that were encrypted with another key, in batches of 200. A row that changes meanwhile
 * is skipped: either its secrets were encrypted with the current key, or the next run finds it.
 */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { DecryptionError, type Encryptor } from '../../crypto/encryption.ts';
import { secretColumns, secretNames, type SecretRow } from './secret-columns.ts';

const batchSize = 200;

export interface Reencrypted {
  reencrypted: number;
  failed: { taskId: string; configId: string; problem: string }[];
}

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

async function selectOtherKeys(
  db: Db,
  keyId: string,
  after: Pick<SecretRow, 'task_id' | 'id'>,
): Promise<SecretRow[]> {
  const prefix = `1.${keyId}.`;
  const { rows } = await sql<SecretRow>`
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

async function reencryptRow(db: Db, encryptor: Encryptor, row: SecretRow): Promise<boolean> {
  const reencrypt = (name: keyof typeof secretColumns) => {
    const place = { taskId: row.task_id, configId: row.id, column: secretColumns[name] };
    const encrypted = row[name];
    return encrypted === null ? null : encryptor.encrypt(encryptor.decrypt(encrypted, place), place);
  };
  const encrypted = Object.fromEntries(secretNames.map((name) => [name, reencrypt(name)]));
  const { numUpdatedRows } = await db
    .updateTable('webhook_configs')
    .set(encrypted)
    .where('task_id', '=', row.task_id)
    .where('id', '=', row.id)
    .where((where) => where.and(secretNames.map((name) => where(name, 'is not distinct from', row[name]))))
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}
