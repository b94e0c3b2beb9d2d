import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createEncryptor, parseEncryptionKeys, DecryptionError } from '#shared/crypto/encryption.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import * as fc from 'fast-check';

const key = () => randomBytes(32).toString('base64');
const [one, two] = [key(), key()];
const toEncryptor = (text: string) => createEncryptor(parseEncryptionKeys(text).keys);
const place = { taskId: 't', configId: 'c', column: 'token' };

test('what is encrypted opens again, and does not show', () => {
  const encryptor = toEncryptor(`a:${one}`);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (secret) => {
      const encrypted = encryptor.encrypt(secret, place);
      assert.equal(encryptor.decrypt(encrypted, place), secret);
      assert.match(encrypted, /^1\.a\.[A-Za-z0-9_-]+$/);
    }),
  );
  assert.notEqual(encryptor.encrypt('same', place), encryptor.encrypt('same', place));
});

test('the first key encrypts and every key opens, so that keys can be rotated', () => {
  const old = toEncryptor(`a:${one}`).encrypt('secret', place);
  const rotated = toEncryptor(`b:${two},a:${one}`);
  assert.equal(rotated.decrypt(old, place), 'secret');
  assert.match(rotated.encrypt('secret', place), /^1\.b\./);
  assert.throws(
    () => toEncryptor(`b:${two}`).decrypt(old, place),
    /key "a", which ENCRYPTION_KEYS no longer has/,
  );
  assert.throws(() => toEncryptor(`a:${two}`).decrypt(old, place), DecryptionError);
});

test('a encrypted value opens only where it was encrypted for, and only unchanged', () => {
  const encryptor = toEncryptor(`a:${one}`);
  const encrypted = encryptor.encrypt('secret', place);
  for (const elsewhere of [
    { ...place, taskId: 'u' },
    { ...place, configId: 'd' },
    { ...place, column: 'auth_credentials' },
    { taskId: 't","c', configId: '', column: 'token' },
  ]) {
    assert.throws(() => encryptor.decrypt(encrypted, elsewhere), DecryptionError);
  }
  for (let index = '1.a.'.length; index < encrypted.length; index += 7) {
    const other = encrypted[index] === 'A' ? 'B' : 'A';
    const changed = encrypted.slice(0, index) + other + encrypted.slice(index + 1);
    assert.throws(() => encryptor.decrypt(changed, place), DecryptionError);
  }
  for (const broken of ['', 'secret', '1.a.', '2' + encrypted.slice(1), `${encrypted}.x`, '1.a.AAAA']) {
    assert.throws(() => encryptor.decrypt(broken, place), DecryptionError);
  }
});

test('wrong keys are told by name and never shown', () => {
  const problemsOf = (text: string) => parseEncryptionKeys(text).problems;
  const short = randomBytes(16).toString('base64');
  assert.deepEqual(problemsOf(`a:${one}, b:${two}`), []);
  assert.deepEqual(problemsOf(one), ['entry 1 must have the form id:base64']);
  assert.deepEqual(problemsOf(`a:${one},a:${two}`), ['the id "a" stands twice']);
  assert.match(problemsOf(`a b:${one}`)[0]!, /the id of entry 1 must be/);
  assert.match(problemsOf(`a:${one},`)[0]!, /entry 2 must have the form/);
  for (const text of [`a:${short}`, 'a:not base64!', `a:${one}${one}`, `a:${one.replace(/.$/, '!')}`]) {
    const [problem] = problemsOf(text);
    assert.match(problem!, /^the key "a" must be 32 bytes in base64/);
  }
  const secret = 'do-not-show';
  assert.ok(!problemsOf(`a:${secret},${secret}`).join().includes(secret));
});

test('a service with wrong keys says so at its start', () => {
  const env = {
    DATABASE_URL: 'postgres://localhost/x',
    GOOGLE_CLOUD_PROJECT: 'p',
    CALLER_AUTH: 'iam',
    SCHEDULER_SERVICE_ACCOUNT: 's',
    CLOUD_TASKS_SERVICE_ACCOUNT: 't',
    DISPATCHER_URL: 'http://localhost:1',
  };
  assert.throws(() => readDispatcherConfig(env), { problems: ['ENCRYPTION_KEYS is not set'] });
  assert.throws(() => readDispatcherConfig({ ...env, ENCRYPTION_KEYS: 'x' }), {
    problems: ['ENCRYPTION_KEYS: entry 1 must have the form id:base64'],
  });
  const { encryptionKeys } = readDispatcherConfig({ ...env, ENCRYPTION_KEYS: `k:${one}` });
  assert.equal(encryptionKeys[0].id, 'k');
  assert.ok(!JSON.stringify(encryptionKeys).includes(one));
});
