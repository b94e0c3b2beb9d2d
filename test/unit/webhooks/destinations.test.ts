/** The hosts that an operator lists for webhooks, for everyone and for single owners. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, EnvReader } from '#shared/runtime/config/env-reader.ts';
import { readWebhookGuard } from '#shared/runtime/config/webhook-guard.ts';
import { checkReceiver } from '#shared/webhooks/destinations.ts';

function readGuard(env: Record<string, string>) {
  const reader = new EnvReader(env);
  const guard = readWebhookGuard(reader);
  reader.check();
  return guard;
}

describe('destinations of webhooks', () => {
  const guard = readGuard({
    WEBHOOK_DESTINATIONS: 'hooks.example.com, *.example.org',
    WEBHOOK_OWNER_DESTINATIONS: '{"key:ada": ["ada.example"], "https://issuer.example|bob": []}',
  });
  const isAllowed = (url: string, owner = 'key:carl'): boolean => 'url' in checkReceiver(url, owner, guard);

  test('are all public hosts unless the operator lists some', () => {
    assert.ok('url' in checkReceiver('https://any.example.net/x', 'key:ada', readGuard({})));
    const ofAda = readGuard({ WEBHOOK_OWNER_DESTINATIONS: '{"key:ada": ["ada.example"]}' });
    assert.ok('url' in checkReceiver('https://any.example.net/x', 'key:carl', ofAda));
    assert.ok('problem' in checkReceiver('https://any.example.net/x', 'key:ada', ofAda));
  });

  test('are the listed names and the names below a listed suffix', () => {
    for (const url of [
      'https://hooks.example.com/a',
      'https://HOOKS.example.com.:8443/',
      'https://a.b.example.org',
    ]) {
      assert.ok(isAllowed(url), url);
    }
    for (const url of [
      'https://example.org/',
      'https://evilexample.org/',
      'https://sub.hooks.example.com/',
      'https://hooks.example.com.evil.example.net/',
      'https://93.184.215.14/',
    ]) {
      assert.ok(!isAllowed(url), url);
    }
  });

  test('of an owner replace those of everyone', () => {
    assert.ok(isAllowed('https://ada.example/', 'key:ada'));
    assert.ok(!isAllowed('https://hooks.example.com/', 'key:ada'));
    const problem = checkReceiver('https://hooks.example.com/', 'https://issuer.example|bob', guard);
    assert.deepEqual(problem, {
      problem: 'Your webhooks may be sent only to no host, as the operator has set.',
    });
  });

  test('do not open what the guard refuses', () => {
    const local = readGuard({ WEBHOOK_DESTINATIONS: '*.internal, 127.0.0.1' });
    for (const url of [
      'https://metadata.google.internal/',
      'https://127.0.0.1/',
      'http://hooks.example.com/',
    ]) {
      assert.match(JSON.stringify(checkReceiver(url, 'o', local)), /The URL must/, url);
    }
  });

  test('are refused at start if they are not hosts', () => {
    for (const env of [
      { WEBHOOK_DESTINATIONS: 'https://hooks.example.com/' },
      { WEBHOOK_DESTINATIONS: '*' },
      { WEBHOOK_OWNER_DESTINATIONS: '["a"]' },
      { WEBHOOK_OWNER_DESTINATIONS: '{"key:ada": "a.example"}' },
      { WEBHOOK_OWNER_DESTINATIONS: '{"key:ada": ["*ada.example"]}' },
      { WEBHOOK_OWNER_DESTINATIONS: 'key:ada' },
    ]) {
      assert.throws(() => readGuard(env), ConfigError, JSON.stringify(env));
    }
  });
});
