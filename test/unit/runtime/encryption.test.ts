import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { createEncryptor, parseEncryptionKeys, DecryptionError } from '#shared/crypto/encryption.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import * as fc from 'fast-check';

const createKey = () => randomBytes(32).toString('base64');
const [first, second] = [createKey(), createKey()];
const toEncryptor = (text: string) => createEncryptor(parseEncryptionKeys(text).keys);
const context = { taskId: 't', configId: 'c', column: 'token' };

describe('encryptor', () => {
  test('decrypts what it has encrypted, for any text', () => {
    const encryptor = toEncryptor(`a:${first}`);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (secret) => {
        const encrypted = encryptor.encrypt(secret, context);
        assert.equal(encryptor.decrypt(encrypted, context), secret);
        assert.match(encrypted, /^1\.a\.[A-Za-z0-9_-]+$/);
      }),
    );
  });

  test('encrypts the same text differently each time', () => {
    const encryptor = toEncryptor(`a:${first}`);
    assert.notEqual(encryptor.encrypt('same', context), encryptor.encrypt('same', context));
  });

  test('encrypts with the first key and decrypts with every key', () => {
    const old = toEncryptor(`a:${first}`).encrypt('secret', context);
    const rotated = toEncryptor(`b:${second},a:${first}`);
    assert.equal(rotated.decrypt(old, context), 'secret');
    assert.match(rotated.encrypt('secret', context), /^1\.b\./);
  });

  test('names the missing key', () => {
    const old = toEncryptor(`a:${first}`).encrypt('secret', context);
    assert.throws(
      () => toEncryptor(`b:${second}`).decrypt(old, context),
      /key "a", which ENCRYPTION_KEYS does not have/,
    );
  });

  test('rejects another key with the same id', () => {
    const old = toEncryptor(`a:${first}`).encrypt('secret', context);
    assert.throws(() => toEncryptor(`a:${second}`).decrypt(old, context), DecryptionError);
  });

  test('rejects a value that was copied to another row or column', () => {
    const encryptor = toEncryptor(`a:${first}`);
    const encrypted = encryptor.encrypt('secret', context);
    for (const elsewhere of [
      { ...context, taskId: 'u' },
      { ...context, configId: 'd' },
      { ...context, column: 'auth_credentials' },
      { taskId: 't","c', configId: '', column: 'token' },
    ]) {
      assert.throws(() => encryptor.decrypt(encrypted, elsewhere), DecryptionError);
    }
  });

  test('rejects a value that was altered or is malformed', () => {
    const encryptor = toEncryptor(`a:${first}`);
    const encrypted = encryptor.encrypt('secret', context);
    for (let index = '1.a.'.length; index < encrypted.length; index += 7) {
      const other = encrypted[index] === 'A' ? 'B' : 'A';
      const altered = encrypted.slice(0, index) + other + encrypted.slice(index + 1);
      assert.throws(() => encryptor.decrypt(altered, context), DecryptionError);
    }
    for (const broken of ['', 'secret', '1.a.', '2' + encrypted.slice(1), `${encrypted}.x`, '1.a.AAAA']) {
      assert.throws(() => encryptor.decrypt(broken, context), DecryptionError);
    }
  });
});

describe('encryption keys', () => {
  const parseProblems = (text: string) => parseEncryptionKeys(text).problems;

  test('are reported by id or position if they are invalid', () => {
    const short = randomBytes(16).toString('base64');
    assert.deepEqual(parseProblems(`a:${first}, b:${second}`), []);
    assert.deepEqual(parseProblems(first), ['entry 1 must have the form id:base64']);
    assert.deepEqual(parseProblems(`a:${first},a:${second}`), ['the id "a" is used twice']);
    assert.match(parseProblems(`a b:${first}`)[0]!, /the id of entry 1 must be/);
    assert.match(parseProblems(`a:${first},`)[0]!, /entry 2 must have the form/);
    for (const text of [
      `a:${short}`,
      'a:not base64!',
      `a:${first}${first}`,
      `a:${first.replace(/.$/, '!')}`,
    ]) {
      const [problem] = parseProblems(text);
      assert.match(problem!, /^the key "a" must be 32 bytes in base64/);
    }
  });

  test('are never shown in a problem', () => {
    const secret = 'do-not-show';
    assert.ok(!parseProblems(`a:${secret},${secret}`).join().includes(secret));
  });

  test('stop the start of a service if they are invalid', () => {
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
    const { encryptionKeys } = readDispatcherConfig({ ...env, ENCRYPTION_KEYS: `k:${first}` });
    assert.equal(encryptionKeys[0].id, 'k');
    assert.ok(!JSON.stringify(encryptionKeys).includes(first));
  });
});
