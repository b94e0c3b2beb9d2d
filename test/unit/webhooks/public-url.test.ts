import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkPublicUrl, isPublicAddress } from '#shared/net/public-url.ts';
import { hostileUrls, ownHost } from '../../support/webhooks/hostile-urls.ts';

const findProblem = (url: string, allowHosts: string[] = []) => {
  const checked = checkPublicUrl(url, allowHosts, [ownHost]);
  return 'problem' in checked ? checked.problem : undefined;
};

describe('checkPublicUrl', () => {
  for (const [reason, urls] of Object.entries(hostileUrls)) {
    test(`rejects a URL with the reason: ${reason}`, () => {
      for (const url of urls) assert.match(findProblem(url) ?? 'accepted', new RegExp(reason), url);
    });
  }

  test('rejects a URL that is too long', () => {
    assert.match(findProblem(`https://example.com/${'x'.repeat(2048)}`)!, /at most 2048/);
  });

  test('accepts public receivers', () => {
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
      assert.equal(findProblem(url), undefined, url);
    }
  });

  test('exempts only the hosts that an operator names', () => {
    const allowed = ['localhost', '127.0.0.1', '::1', 'Receiver.Internal'];
    for (const url of [
      'http://localhost:3000/hook',
      'http://127.0.0.1/',
      'http://2130706433:9/',
      'http://[::1]:8080/',
      'https://receiver.internal./',
    ]) {
      assert.equal(findProblem(url, allowed), undefined, url);
    }
    for (const url of [
      'http://127.0.0.2/',
      'https://x.localhost/',
      'https://[::ffff:127.0.0.1]/',
      'http://example.com/',
    ]) {
      assert.notEqual(findProblem(url, allowed), undefined, url);
    }
    assert.match(findProblem('http://user@localhost/', allowed)!, /user name/);
    assert.match(findProblem('file://localhost/etc/passwd', allowed)!, /https/);
  });
});

describe('isPublicAddress', () => {
  // [PUSH-SSRF-001]
  test('accepts public addresses', () => {
    for (const address of [
      '8.8.8.8',
      '1.1.1.1',
      '199.36.152.1',
      '2606:4700::1111',
      '2a00:1450:4001:80b::200e',
    ]) {
      assert.ok(isPublicAddress(address), address);
    }
  });

  test('rejects private and reserved addresses', () => {
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
});
