/**
 * `npm run admin -- reseal`: seals every stored secret with the first of ENCRYPTION_KEYS, after which the other keys may
 * be removed. The services may run meanwhile, and it may be run again at any point.
 */
import { createSealer } from '#shared/crypto/encryption.ts';
import { resealSecrets } from '#shared/db/webhooks/reencrypt.ts';
import { readEncryptionConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit } from '#shared/runtime/lifecycle.ts';
import { CommandError, type Command } from './command.ts';

export const reseal: Command = {
  usage: 'seals every stored secret with the first of ENCRYPTION_KEYS',
  run: async ({ db, env, print }) => {
    const { encryptionKeys } = configOrExit(() => readEncryptionConfig(env));
    const [{ id }] = encryptionKeys;
    const { resealed, failed } = await resealSecrets(db, createSealer(encryptionKeys), id);
    print(`${resealed} webhooks were sealed with the key "${id}"`);
    if (failed.length === 0) return;
    const which = failed.map(({ taskId, configId, problem }) => `  ${taskId} ${configId}: ${problem}`);
    throw new CommandError(
      `${failed.length} could not be opened, and stay as they are:\n${which.join('\n')}`,
    );
  },
};
