/** Variables that name secrets, through the real client of Secret Manager: read at the start, renewed, never shown. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createEncryptor, requireEncryptionKeys, DecryptionError } from '#shared/crypto/encryption.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { runNode } from '../../support/processes/processes.ts';
import { startSecretManager } from '../../support/fakes/secret-manager.ts';
import { startStack } from '../../support/stack.ts';

const name = 'projects/p/secrets/longhaul-encryption-keys/versions/latest';
const key = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;
const place = { taskId: 't', configId: 'c', column: 'token' };

test('without a secret in it, the environment is taken as it is', async () => {
  const env = { DATABASE_URL: 'postgres://h/d' };
  assert.equal((await openSecretVariables(env)).env, env);
});

test(
  'keys are renewed while the service runs: what was encrypted before still opens',
  { timeout: 60_000 },
  async (t) => {
    const manager = await startSecretManager(t);
    const [one, two] = [key('one'), key('two')];
    manager.set(name, one);
    const secrets = await openSecretVariables({
      ENCRYPTION_KEYS: `sm://${name}`,
      OTHER: 'as it is',
      SECRET_MANAGER_EMULATOR_HOST: manager.host,
      SECRETS_REFRESH_SECONDS: '0.02',
    });
    t.after(() => secrets.close());
    assert.equal(secrets.env['ENCRYPTION_KEYS'], one);
    assert.equal(secrets.env['OTHER'], 'as it is');

    const encryptor = createEncryptor(requireEncryptionKeys(one));
    const before = encryptor.encrypt('a token', place);
    const said: string[] = [];
    let changed = Promise.withResolvers<void>();
    let warned = Promise.withResolvers<void>();
    const log = {
      info: (line: object, message: string) => void said.push(JSON.stringify({ line, message })),
      warn: (line: object, message: string) => {
        said.push(JSON.stringify({ line, message }));
        warned.resolve();
      },
    } as unknown as Logger;
    secrets.watch('ENCRYPTION_KEYS', log, (text) => {
      encryptor.useKeys(requireEncryptionKeys(text));
      changed.resolve();
    });
    secrets.watch('OTHER', log, () => assert.fail('it is no secret'));

    manager.set(name, `${two},${one}`);
    await changed.promise;
    assert.equal(encryptor.decrypt(before, place), 'a token');
    assert.match(encryptor.encrypt('a token', place), /^1\.two\./);

    // A version that is no key, and then no right to read: both are told of, and the keys stay.
    changed = Promise.withResolvers();
    manager.set(name, 'two:too-short');
    await warned.promise;
    warned = Promise.withResolvers();
    manager.set(name, undefined);
    await warned.promise;
    assert.equal(encryptor.decrypt(before, place), 'a token');

    manager.set(name, two);
    await changed.promise;
    assert.throws(() => encryptor.decrypt(before, place), DecryptionError);
    assert.ok(said.length >= 4);
    for (const secret of [one, two, 'too-short']) {
      assert.ok(!said.some((line) => line.includes(secret.split(':').at(-1)!)), 'a secret stands in the log');
    }
  },
);

test('a numbered version is read once', { timeout: 60_000 }, async (t) => {
  const manager = await startSecretManager(t);
  const pinned = 'projects/p/secrets/alloy_db_pass/versions/3';
  manager.set(pinned, 'value');
  manager.set(name, 'first');
  const secrets = await openSecretVariables({
    ALLOY_DB_PASS: `sm://${pinned}`,
    ENCRYPTION_KEYS: `sm://${name}`,
    SECRET_MANAGER_EMULATOR_HOST: manager.host,
    SECRETS_REFRESH_SECONDS: '0.01',
  });
  t.after(() => secrets.close());
  const changed = Promise.withResolvers<void>();
  const log = { info: () => undefined, warn: () => undefined } as unknown as Logger;
  secrets.watch('ALLOY_DB_PASS', log, () => assert.fail('it does not change'));
  secrets.watch('ENCRYPTION_KEYS', log, () => changed.resolve());
  manager.set(name, 'second');
  await changed.promise;
  assert.deepEqual(
    manager.reads.filter((one) => one === pinned),
    [pinned],
  );
});

test('the services take new keys while they run', { timeout: 60_000 }, async (t) => {
  const manager = await startSecretManager(t);
  manager.set(name, key('one'));
  const stack = await startStack(t, {
    ENCRYPTION_KEYS: `sm://${name}`,
    SECRET_MANAGER_EMULATOR_HOST: manager.host,
    SECRETS_REFRESH_SECONDS: '0.05',
  });
  const services = await Promise.all([stack.start('api'), stack.start('dispatcher')]);
  manager.set(name, `${key('two')},${key('one')}`);
  await Promise.all(
    services.map(({ running }) => running.line(/"ENCRYPTION_KEYS".*the new value is in use/)),
  );
});

test('what cannot be read ends the start, by name', async (t) => {
  const manager = await startSecretManager(t);
  const env = { SECRET_MANAGER_EMULATOR_HOST: manager.host, ENCRYPTION_KEYS: `sm://${name}` };
  await assert.rejects(
    openSecretVariables(env),
    (error) =>
      error instanceof ConfigError && /ENCRYPTION_KEYS: the secret .* PERMISSION_DENIED/.test(error.message),
  );
  await assert.rejects(openSecretVariables({ A: 'sm://p/s' }), /A must be sm:\/\/projects/);

  const service = runNode(t, ['services/dispatcher/main.ts'], { env });
  assert.deepEqual(await service.exited, { code: 78, signal: null });
  assert.match(service.output(), /ENCRYPTION_KEYS: the secret projects\/p\/secrets/);
});
