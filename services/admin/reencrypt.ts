/**
 * `npm run admin -- reencrypt`: re-encrypts every stored secret with the first of ENCRYPTION_KEYS, after
 * which the other keys can be removed. Safe while the services run, and safe to repeat.
 */
import { createEncryptor } from '#shared/crypto/encryption.ts';
import { reencryptSecrets } from '#shared/db/webhooks/reencrypt.ts';
import { readEncryptionConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit } from '#shared/runtime/lifecycle.ts';
import { CommandError, type AdminCommand } from './command.ts';

export const reencryptCommand: AdminCommand = {
  usage: 're-encrypt every stored secret with the first of ENCRYPTION_KEYS',
  run: async ({ db, env, print }) => {
    const { encryptionKeys } = configOrExit(() => readEncryptionConfig(env));
    const [{ id }] = encryptionKeys;
    const { reencrypted, failed } = await reencryptSecrets(db, createEncryptor(encryptionKeys), id);
    print(`re-encrypted ${reencrypted} webhooks with the key "${id}"`);
    if (failed.length === 0) return;
    const lines = failed.map(({ taskId, configId, problem }) => `  ${taskId} ${configId}: ${problem}`);
    throw new CommandError(
      `${failed.length} webhooks could not be decrypted and are unchanged:\n${lines.join('\n')}`,
    );
  },
};
