/**
 * `npm run admin -- reencrypt`: encrypts every stored secret with the first of ENCRYPTION_KEYS, after which the other keys may
 * be removed. The services may run meanwhile, and it may be run again at any point.
 */
import { createEncryptor } from '#shared/crypto/encryption.ts';
import { reencryptSecrets } from '#shared/db/webhooks/reencrypt.ts';
import { readEncryptionConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit } from '#shared/runtime/lifecycle.ts';
import { CommandError, type AdminCommand } from './command.ts';

export const reencryptCommand: AdminCommand = {
  usage: 'encrypts every stored secret with the first of ENCRYPTION_KEYS',
  run: async ({ db, env, print }) => {
    const { encryptionKeys } = configOrExit(() => readEncryptionConfig(env));
    const [{ id }] = encryptionKeys;
    const { reencrypted, failed } = await reencryptSecrets(db, createEncryptor(encryptionKeys), id);
    print(`${reencrypted} webhooks were encrypted with the key "${id}"`);
    if (failed.length === 0) return;
    const which = failed.map(({ taskId, configId, problem }) => `  ${taskId} ${configId}: ${problem}`);
    throw new CommandError(
      `${failed.length} could not be opened, and stay as they are:\n${which.join('\n')}`,
    );
  },
};
