/** Variables that refer to Secret Manager, read with the real client, at startup and on refresh. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, test, type TestContext } from 'node:test';
import { createEncryptor, requireEncryptionKeys, DecryptionError } from '#shared/crypto/encryption.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { startSecretManager } from '../../support/fakes/secret-manager.ts';
import { createLineLog } from '../../support/processes/log-lines.ts';
import { runNode } from '../../support/processes/processes.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

const timeout = 60_000;
const name = 'projects/p/secrets/longhaul-encryption-keys/versions/latest';
const createKey = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;
const context = { taskId: 't', configId: 'c', column: 'token' };

async function openSecrets(t: TestContext, env: Record<string, string>) {
  const manager = await startSecretManager(t);
  const open = async () => {
    const secrets = await openSecretVariables({
      SECRET_MANAGER_EMULATOR_HOST: manager.host,
      SECRETS_REFRESH_SECONDS: '0.02',
      ...env,
    });
    t.after(() => secrets.close());
    return secrets;
  };
  return { manager, open };
}

describe('openSecretVariables', () => {
  test('returns the same environment if no variable refers to a secret', async () => {
    const env = { DATABASE_URL: 'postgres://h/d' };
    assert.equal((await openSecretVariables(env)).env, env);
  });

  test('replaces addresses with the content of their secrets', { timeout }, async (t) => {
    const { manager, open } = await openSecrets(t, { ENCRYPTION_KEYS: `sm://${name}`, OTHER: 'plain' });
    manager.set(name, 'content');
    const { env } = await open();
    assert.deepEqual([env['ENCRYPTION_KEYS'], env['OTHER']], ['content', 'plain']);
  });

  test('reports secrets that cannot be read or have a malformed address', { timeout }, async (t) => {
    const { open } = await openSecrets(t, { ENCRYPTION_KEYS: `sm://${name}` });
    await assert.rejects(
      open(),
      (error) =>
        error instanceof ConfigError &&
        /ENCRYPTION_KEYS: the secret .* PERMISSION_DENIED/.test(error.message),
    );
    await assert.rejects(openSecretVariables({ A: 'sm://p/s' }), /A must be sm:\/\/projects/);
  });
});

describe('watched variables', () => {
  test('follow the latest version', { timeout }, async (t) => {
    const { manager, open } = await openSecrets(t, { ENCRYPTION_KEYS: `sm://${name}` });
    const [one, two] = [createKey('one'), createKey('two')];
    manager.set(name, one);
    const secrets = await open();
    const { log, at } = createLineLog();
    const encryptor = createEncryptor(requireEncryptionKeys(one));
    const old = encryptor.encrypt('a token', context);
    secrets.watch('ENCRYPTION_KEYS', log, (text) => encryptor.useKeys(requireEncryptionKeys(text)));

    manager.set(name, `${two},${one}`);
    await waitFor('the second key', () => at('info').length === 1);
    assert.equal(encryptor.decrypt(old, context), 'a token');
    assert.match(encryptor.encrypt('a token', context), /^1\.two\./);

    manager.set(name, two);
    await waitFor('the second key alone', () => at('info').length === 2);
    assert.throws(() => encryptor.decrypt(old, context), DecryptionError);
  });

  test('keep their value if the new one is rejected or cannot be read', { timeout }, async (t) => {
    const { manager, open } = await openSecrets(t, { ENCRYPTION_KEYS: `sm://${name}` });
    const one = createKey('one');
    manager.set(name, one);
    const secrets = await open();
    const { log, at } = createLineLog();
    const encryptor = createEncryptor(requireEncryptionKeys(one));
    const old = encryptor.encrypt('a token', context);
    secrets.watch('ENCRYPTION_KEYS', log, (text) => encryptor.useKeys(requireEncryptionKeys(text)));

    manager.set(name, 'two:too-short');
    await waitFor('a warning about the rejected value', () => at('warn').length === 1);
    manager.set(name, undefined);
    await waitFor('a warning about the denied read', () =>
      JSON.stringify(at('warn')).includes('PERMISSION_DENIED'),
    );
    assert.equal(encryptor.decrypt(old, context), 'a token');
  });

  test('are never logged', { timeout }, async (t) => {
    const { manager, open } = await openSecrets(t, { ENCRYPTION_KEYS: `sm://${name}` });
    const [one, two] = [createKey('one'), createKey('two')];
    manager.set(name, one);
    const secrets = await open();
    const { log, lines, at } = createLineLog();
    secrets.watch('ENCRYPTION_KEYS', log, requireEncryptionKeys);
    manager.set(name, 'two:too-short');
    await waitFor('a warning', () => at('warn').length > 0);
    manager.set(name, two);
    await waitFor('the new value', () => at('info').length > 0);
    for (const secret of [one, two, 'two:too-short']) {
      const [, key] = secret.split(':');
      assert.ok(!JSON.stringify(lines).includes(key!), 'the log contains a secret');
    }
  });

  test('follow a file, and keep their value while its content is rejected', async (t) => {
    const [one, two] = [createKey('one'), createKey('two')];
    const file = writeTempFile(t, 'keys', one);
    const env = { ENCRYPTION_KEYS_FILE: file, SECRETS_REFRESH_SECONDS: '0.02' };
    const secrets = await openSecretVariables(env);
    t.after(() => secrets.close());
    const { log, at } = createLineLog();
    const encryptor = createEncryptor(requireEncryptionKeys(one));
    secrets.watch('ENCRYPTION_KEYS', log, (text) => encryptor.useKeys(requireEncryptionKeys(text)));

    writeFileSync(file, 'two:too-short');
    await waitFor('a warning about the rejected value', () => at('warn').length === 1);
    assert.match(encryptor.encrypt('a token', context), /^1\.one\./);
    // A mounted secret changes in the same way: a link is replaced.
    const other = writeTempFile(t, 'other', `${two},${one}\n`);
    symlinkSync(other, `${file}.new`);
    renameSync(`${file}.new`, file);
    await waitFor('the new key', () => at('info').length === 1);
    assert.match(encryptor.encrypt('a token', context), /^1\.two\./);
  });

  test('ignore variables that do not refer to a latest version', { timeout }, async (t) => {
    const pinned = 'projects/p/secrets/alloy_db_pass/versions/3';
    const { manager, open } = await openSecrets(t, {
      ALLOY_DB_PASS: `sm://${pinned}`,
      ENCRYPTION_KEYS: `sm://${name}`,
      OTHER: 'plain',
    });
    manager.set(pinned, 'value');
    manager.set(name, 'first');
    const secrets = await open();
    const { log, at } = createLineLog();
    secrets.watch('ALLOY_DB_PASS', log, () => assert.fail('a pinned version does not change'));
    secrets.watch('OTHER', log, () => assert.fail('not a secret'));
    secrets.watch('ENCRYPTION_KEYS', log, () => undefined);
    manager.set(name, 'second');
    await waitFor('the second value', () => at('info').length === 1);
    assert.deepEqual(
      manager.reads.filter((version) => version === pinned),
      [pinned],
    );
  });
});

describe('services', () => {
  test('exit with status 78 if a secret cannot be read', { timeout }, async (t) => {
    const manager = await startSecretManager(t);
    const service = runNode(t, ['services/dispatcher/main.ts'], {
      env: { SECRET_MANAGER_EMULATOR_HOST: manager.host, ENCRYPTION_KEYS: `sm://${name}` },
    });
    assert.deepEqual(await service.exited, { code: 78, signal: null });
    assert.match(service.output(), /ENCRYPTION_KEYS: the secret projects\/p\/secrets/);
  });
});
