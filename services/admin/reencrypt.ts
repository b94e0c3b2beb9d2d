/**
 * `npm run admin -- reencrypt`: re-encrypts every stored secret with the first of ENCRYPTION_KEYS, and the keys of contents with the
 * first of CONTENT_ENCRYPTION_KEYS or the current version of CONTENT_KMS_KEY, after which the other keys can be removed. Safe while the services run, and safe to repeat.
 */
import { createEncryptor } from '#shared/crypto/encryption.ts';
import { rewrapContentKeys } from '#shared/db/contents/destroy.ts';
import { createKeyParts } from '#shared/db/contents/open.ts';
import { reencryptSecrets } from '#shared/db/webhooks/reencrypt.ts';
import { readContentsConfig } from '#shared/runtime/config/contents.ts';
import { readEncryptionConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit } from '#shared/runtime/lifecycle.ts';
import { CommandError, type AdminCommand } from './command.ts';

export const reencryptCommand: AdminCommand = {
  usage:
    're-encrypt every stored secret with the first of ENCRYPTION_KEYS, and the keys of contents with theirs',
  run: async ({ db, env, print }) => {
    const { encryptionKeys } = configOrExit(() => readEncryptionConfig(env));
    const parts = createKeyParts(configOrExit(() => readContentsConfig(env)));
    if (parts !== undefined) print(`wrapped ${await rewrapContentKeys(db, parts)} keys of contents again`);
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
