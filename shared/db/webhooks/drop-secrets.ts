/**
 * Removes the stored secrets that cannot be decrypted, because their key is lost, in batches of 200. Their webhooks are
 * disabled: without its secret, a webhook would reach its receiver unsigned.
 */
import { sql } from 'kysely';
import { DecryptionError, type Encryptor } from '../../crypto/encryption.ts';
import type { Db } from '../client/pool.ts';
import { secretColumns, secretNames, type SecretRow } from './secret-columns.ts';

const batchSize = 200;

/** @returns the number of webhooks whose secrets were removed */
export async function dropLostSecrets(db: Db, encryptor: Encryptor): Promise<number> {
  let dropped = 0;
  let after = { task_id: '00000000-0000-0000-0000-000000000000', id: '' };
  for (;;) {
    const { rows } = await sql<SecretRow>`
      select task_id, id, token, auth_credentials, signing_secret, previous_secret from webhook_configs
      where (task_id, id) > (${after.task_id}, ${after.id})
        and coalesce(token, auth_credentials, signing_secret, previous_secret) is not null
      order by task_id, id limit ${batchSize}`.execute(db);
    for (const row of rows) {
      if (isLost(encryptor, row) && (await dropSecrets(db, row))) dropped += 1;
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < batchSize) return dropped;
    after = last;
  }
}

function isLost(encryptor: Encryptor, row: SecretRow): boolean {
  return secretNames.some((name) => {
    const encrypted = row[name];
    if (encrypted === null) return false;
    try {
      encryptor.decrypt(encrypted, { taskId: row.task_id, configId: row.id, column: secretColumns[name] });
      return false;
    } catch (error) {
      if (error instanceof DecryptionError) return true;
      throw error;
    }
  });
}

/** Does nothing if the secrets have changed since they were read. */
async function dropSecrets(db: Db, row: SecretRow): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('webhook_configs')
    .set({
      token: null,
      auth_credentials: null,
      signing_secret: null,
      previous_secret: null,
      previous_secret_until: null,
      disabled_at: sql<Date>`now()`,
      disabled_reason:
        'Its secrets were removed, because their encryption key was lost. Create the webhook again.',
    })
    .where('task_id', '=', row.task_id)
    .where('id', '=', row.id)
    .where((where) => where.and(secretNames.map((name) => where(name, 'is not distinct from', row[name]))))
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}
