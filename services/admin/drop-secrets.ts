/**
 * `npm run admin -- drop-secrets`: removes the stored secrets whose encryption key is lost, and disables their webhooks.
 * Services that refused to start because of them then start.
 */
import { createEncryptor } from '#shared/crypto/encryption.ts';
import { dropLostSecrets } from '#shared/db/webhooks/drop-secrets.ts';
import { readEncryptionConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit } from '#shared/runtime/lifecycle.ts';
import { CommandError, type AdminCommand } from './command.ts';

export const dropSecretsCommand: AdminCommand = {
  usage: '--yes   remove the stored secrets that ENCRYPTION_KEYS cannot decrypt, and disable their webhooks',
  run: async ({ db, env, args, print }) => {
    if (args.length !== 1 || args[0] !== '--yes') {
      throw new CommandError('drop-secrets expects --yes to confirm: removed secrets cannot be restored');
    }
    const { encryptionKeys } = configOrExit(() => readEncryptionConfig(env));
    const dropped = await dropLostSecrets(db, createEncryptor(encryptionKeys));
    print(`removed the secrets of ${dropped} webhooks and disabled them`);
  },
};
