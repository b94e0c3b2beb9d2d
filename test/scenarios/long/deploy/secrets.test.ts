/** Services that read their keys from Secret Manager again while they run. */
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { startSecretManager } from '../../../support/fakes/secret-manager.ts';
import { startStack } from '../../../support/stack.ts';

const name = 'projects/p/secrets/longhaul-encryption-keys/versions/latest';
const createKey = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;

test('services use new keys while they run', { timeout: 60_000 }, async (t) => {
  const manager = await startSecretManager(t);
  manager.set(name, createKey('one'));
  const stack = await startStack(t, {
    ENCRYPTION_KEYS: `sm://${name}`,
    SECRET_MANAGER_EMULATOR_HOST: manager.host,
    SECRETS_REFRESH_SECONDS: '0.05',
  });
  const services = await Promise.all([stack.start('api'), stack.start('dispatcher')]);
  manager.set(name, `${createKey('two')},${createKey('one')}`);
  await Promise.all(
    services.map(({ running }) => running.line(/"ENCRYPTION_KEYS".*the new value is in use/)),
  );
});
