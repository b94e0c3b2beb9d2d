import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkPublicUrl, isPublicAddress } from '#shared/net/public-url.ts';
import { hostileUrls, ownHost } from '../support/webhooks/hostile-urls.ts';

const toProblem = (url: string, allowHosts: string[] = []) => {
  const checked = checkPublicUrl(url, allowHosts, [ownHost]);
  return 'problem' in checked ? checked.problem : undefined;
};

for (const [reason, urls] of Object.entries(hostileUrls)) {
  test(`refused: ${reason}`, () => {
    for (const url of urls) assert.match(toProblem(url) ?? 'accepted', new RegExp(reason), url);
  });
}

test('a URL that is too long is refused', () => {
  assert.match(toProblem(`https://example.com/${'x'.repeat(2048)}`)!, /at most 2048/);
});

test('public receivers are accepted', () => {
  for (const url of [
    'https://example.com/hook?task=1',
    'https://EXAMPLE.com',
    'https://example.com:443/',
    'https://example.com:8443/a2a',
    'https://hooks.example.co.uk:3000/',
    'https://8.8.8.8/',
    'https://[2606:4700::1111]/',
    'https://bücher.example/',
    'https://notlocalhost.com/',
    'https://internal.example.com/',
  ]) {
    assert.equal(toProblem(url), undefined, url);
  }
});

test('hosts that an operator names are exempt, and no others', () => {
  const allowed = ['localhost', '127.0.0.1', '::1', 'Receiver.Internal'];
  for (const url of [
    'http://localhost:3000/hook',
    'http://127.0.0.1/',
    'http://2130706433:9/',
    'http://[::1]:8080/',
    'https://receiver.internal./',
  ]) {
    assert.equal(toProblem(url, allowed), undefined, url);
  }
  for (const url of [
    'http://127.0.0.2/',
    'https://x.localhost/',
    'https://[::ffff:127.0.0.1]/',
    'http://example.com/',
  ]) {
    assert.notEqual(toProblem(url, allowed), undefined, url);
  }
  assert.match(toProblem('http://user@localhost/', allowed)!, /user name/);
  assert.match(toProblem('file://localhost/etc/passwd', allowed)!, /https/);
});

// [PUSH-SSRF-001]
test('an address, as resolved, is public or not', () => {
  for (const address of [
    '8.8.8.8',
    '1.1.1.1',
    '199.36.152.1',
    '2606:4700::1111',
    '2a00:1450:4001:80b::200e',
  ]) {
    assert.ok(isPublicAddress(address), address);
  }
  for (const address of [
    '',
    'x',
    '127.0.0.1',
    '10.1.2.3',
    '::1',
    '::ffff:8.8.8.8',
    'fe80::1%eth0',
    '::2',
    '199.36.153.11',
  ]) {
    assert.ok(!isPublicAddress(address), address);
  }
});
