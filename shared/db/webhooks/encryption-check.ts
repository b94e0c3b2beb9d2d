/**
 * Finds out at the start whether the stored secrets can be decrypted. For each key that encrypts, the database has a
 * known text that was encrypted with it.
 */
import { sql } from 'kysely';
import { DecryptionError, type Encryptor } from '../../crypto/encryption.ts';
import { NotReadyError } from '../../runtime/health.ts';
import type { Db } from '../client/pool.ts';

/** Stored secrets were encrypted with a key that is not configured, or is another one of the same id. */
export class LostKeyError extends NotReadyError {
  override readonly name = 'LostKeyError';
  constructor(message: string) {
    super('keys_lost', message);
  }
}

const checkText = 'longhaul';

function toContext(keyId: string) {
  return { taskId: '', configId: keyId, column: 'encryption_check' };
}

/**
 * Checks the keys, and stores the text for the key that encrypts. A key that no stored secret needs may be missing: it
 * was rotated, or nothing was encrypted with it.
 *
 * @param keyId of the key that the encryptor encrypts with
 * @throws {LostKeyError}
 */
export async function checkEncryptionKeys(db: Db, encryptor: Encryptor, keyId: string): Promise<void> {
  const checks = await db.selectFrom('encryption_checks').selectAll().execute();
  for (const { key_id: id, value } of checks) {
    const problem = findProblem(encryptor, id, value);
    if (problem === undefined) continue;
    if (await hasSecrets(db, id)) {
      throw new LostKeyError(
        `Stored webhook secrets cannot be decrypted: ${problem}. Restore that key in ENCRYPTION_KEYS (npm start: ` +
          'encryption.key in the data directory), or remove these secrets with "npm run admin -- drop-secrets --yes" ' +
          '(npm start: while "npm start -- --infra" runs), which disables their webhooks.',
      );
    }
    await db.deleteFrom('encryption_checks').where('key_id', '=', id).where('value', '=', value).execute();
  }
  await db
    .insertInto('encryption_checks')
    .values({ key_id: keyId, value: encryptor.encrypt(checkText, toContext(keyId)) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

function findProblem(encryptor: Encryptor, keyId: string, value: string): string | undefined {
  try {
    encryptor.decrypt(value, toContext(keyId));
    return undefined;
  } catch (error) {
    if (!(error instanceof DecryptionError)) throw error;
    return error.message;
  }
}

/** Reads all configs in the worst case, and only if a key is missing. */
async function hasSecrets(db: Db, keyId: string): Promise<boolean> {
  const prefix = `1.${keyId}.`;
  const { rows } = await sql`
    select from webhook_configs
    where starts_with(token, ${prefix}) or starts_with(auth_credentials, ${prefix})
      or starts_with(signing_secret, ${prefix}) or starts_with(previous_secret, ${prefix})
    limit 1`.execute(db);
  return rows.length > 0;
}

/** Returns a function that checks the keys until it has succeeded once. */
export function createEncryptionCheck(db: Db, encryptor: Encryptor, keyId: string): () => Promise<void> {
  let checked = false;
  return async () => {
    if (checked) return;
    await checkEncryptionKeys(db, encryptor, keyId);
    checked = true;
  };
}
