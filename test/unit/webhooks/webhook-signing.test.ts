import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { readWebhookOptions, withoutSecret } from '#shared/webhooks/options.ts';
import { createSigningSecret, decodeSigningSecret, signingSecretProblem } from '#shared/webhooks/secrets.ts';
import { parseSigningKeys, publicJwks } from '#shared/crypto/signing-keys.ts';
import { createSigningJwk } from '../../support/webhooks/signing.ts';

describe('signing keys', () => {
  test('publishes only the public halves of signing keys', () => {
    const [one, two] = [createSigningJwk('one'), createSigningJwk('two')];
    const { keys, problems } = parseSigningKeys(JSON.stringify({ keys: [one, two] }));
    assert.deepEqual(problems, []);
    assert.deepEqual(
      keys.map(({ kid, privateKey }) => [kid, privateKey?.type]),
      [
        ['one', 'private'],
        ['two', 'private'],
      ],
    );
    const published = publicJwks(keys);
    assert.deepEqual(published.keys[0], {
      kty: 'OKP',
      crv: 'Ed25519',
      x: one['x'],
      kid: 'one',
      alg: 'EdDSA',
      use: 'sig',
    });
    assert.ok(!JSON.stringify(published).includes(String(two['d'])));
    const again = parseSigningKeys(JSON.stringify(published));
    assert.deepEqual(
      again.keys.map(({ privateKey }) => privateKey),
      [undefined, undefined],
    );
  });

  test('reports invalid signing keys without showing them', () => {
    const one = createSigningJwk('one');
    const cases: [unknown, RegExp][] = [
      ['nonsense', /must be a JWK set/],
      [{ keys: [] }, /must be a JWK set/],
      [[one], /must be a JWK set/],
      [{ keys: [null] }, /key 1 must have "kty": "OKP"/],
      [{ keys: [{ ...one, crv: 'X25519' }] }, /key 1 must have "kty": "OKP"/],
      [{ keys: [{ ...one, kid: undefined }] }, /the "kid" of key 1 must be/],
      [{ keys: [one, one] }, /the "kid" one is used twice/],
      [{ keys: [{ ...one, x: 'AAAA' }] }, /the key one is not a valid/],
      [{ keys: [{ ...one, d: 'AAAA' }] }, /the key one is not a valid/],
      [{ keys: [{ ...one, x: createSigningJwk('two')['x'] }] }, /the key one is not a valid/],
    ];
    for (const [set, expected] of cases) {
      const { problems } = parseSigningKeys(typeof set === 'string' ? set : JSON.stringify(set));
      assert.match(problems.join(), expected);
      assert.ok(!problems.join().includes(String(one['d'])));
    }
  });
});

describe('webhook options and secrets', () => {
  test('accepts secrets in the form of Standard Webhooks only', () => {
    const secret = createSigningSecret();
    assert.equal(signingSecretProblem(secret), undefined);
    assert.equal(decodeSigningSecret(secret).length, 32);
    assert.notEqual(secret, createSigningSecret());
    const short = `whsec_${Buffer.alloc(23).toString('base64')}`;
    const long = `whsec_${Buffer.alloc(65).toString('base64')}`;
    for (const bad of [
      '',
      'whsec_',
      short,
      long,
      secret.slice(6),
      `${secret}!`,
      `whsec_ ${secret.slice(6)}`,
    ]) {
      assert.match(signingSecretProblem(bad) ?? '', /must be whsec_/, bad);
    }
  });

  test('reads options with defaults, and refuses unknown ones', () => {
    const secret = createSigningSecret();
    assert.deepEqual(readWebhookOptions({}), { events: 'state', ordered: true, signingSecret: null });
    assert.deepEqual(readWebhookOptions({ events: 'all', order: 'none', secret }), {
      events: 'all',
      ordered: false,
      signingSecret: secret,
    });
    const cases: [unknown, RegExp][] = [
      [null, /must be a JSON object/],
      [[], /must be a JSON object/],
      [{ event: 'all' }, /"event" is not a valid option/],
      [{ events: 'none' }, /events must be/],
      [{ order: true }, /order must be/],
      [{ secret: 'whsec_hush' }, /secret is not valid/],
      [{ secret: 1 }, /secret must be a string/],
    ];
    for (const [json, expected] of cases) {
      const read = readWebhookOptions(json);
      assert.match('problem' in read ? read.problem : '', expected);
      assert.ok(!JSON.stringify(read).includes('hush'));
    }
  });

  test('removes the secret from metadata', () => {
    const options = { events: 'all', secret: createSigningSecret() };
    assert.deepEqual(withoutSecret({ a: 1, [webhooksExtensionUri]: options }), {
      a: 1,
      [webhooksExtensionUri]: { events: 'all' },
    });
    assert.deepEqual(withoutSecret({ a: 1 }), { a: 1 });
    assert.equal(withoutSecret(undefined), undefined);
  });
});
