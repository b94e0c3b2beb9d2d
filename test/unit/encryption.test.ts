import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createSealer, parseEncryptionKeys, SealError } from '#shared/crypto/encryption.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import * as fc from 'fast-check';

const key = () => randomBytes(32).toString('base64');
const [one, two] = [key(), key()];
const sealerOf = (text: string) => createSealer(parseEncryptionKeys(text).keys);
const place = { taskId: 't', configId: 'c', column: 'token' };

test('what is sealed opens again, and does not show', () => {
  const sealer = sealerOf(`a:${one}`);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (secret) => {
      const sealed = sealer.seal(secret, place);
      assert.equal(sealer.open(sealed, place), secret);
      assert.match(sealed, /^1\.a\.[A-Za-z0-9_-]+$/);
    }),
  );
  assert.notEqual(sealer.seal('same', place), sealer.seal('same', place));
});

test('the first key seals and every key opens, so that keys can be rotated', () => {
  const old = sealerOf(`a:${one}`).seal('secret', place);
  const rotated = sealerOf(`b:${two},a:${one}`);
  assert.equal(rotated.open(old, place), 'secret');
  assert.match(rotated.seal('secret', place), /^1\.b\./);
  assert.throws(() => sealerOf(`b:${two}`).open(old, place), /key "a", which ENCRYPTION_KEYS no longer has/);
  assert.throws(() => sealerOf(`a:${two}`).open(old, place), SealError);
});

test('a sealed value opens only where it was sealed for, and only unchanged', () => {
  const sealer = sealerOf(`a:${one}`);
  const sealed = sealer.seal('secret', place);
  for (const elsewhere of [
    { ...place, taskId: 'u' },
    { ...place, configId: 'd' },
    { ...place, column: 'auth_credentials' },
    { taskId: 't","c', configId: '', column: 'token' },
  ]) {
    assert.throws(() => sealer.open(sealed, elsewhere), SealError);
  }
  for (let index = '1.a.'.length; index < sealed.length; index += 7) {
    const other = sealed[index] === 'A' ? 'B' : 'A';
    const changed = sealed.slice(0, index) + other + sealed.slice(index + 1);
    assert.throws(() => sealer.open(changed, place), SealError);
  }
  for (const broken of ['', 'secret', '1.a.', '2' + sealed.slice(1), `${sealed}.x`, '1.a.AAAA']) {
    assert.throws(() => sealer.open(broken, place), SealError);
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
