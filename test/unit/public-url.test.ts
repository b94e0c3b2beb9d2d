import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkPublicUrl, isPublicAddress } from '#shared/net/public-url.ts';

const problemOf = (url: string, allowHosts: string[] = []) => {
  const checked = checkPublicUrl(url, allowHosts);
  return 'problem' in checked ? checked.problem : undefined;
};

const hostile: Record<string, string[]> = {
  'public address': [
    'https://127.0.0.1/',
    'https://127.1/',
    'https://127.0.0.1./',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0x7f.1/',
    'https://0177.0.0.1/',
    'https://017700000001/',
    'https://1２7.0.0.1/',
    'https://127。0。0。1/',
    'https://%31%32%37.0.0.1/',
    'https://0/',
    'https://0.0.0.0/',
    'https://10.0.0.1/',
    'https://172.16.5.4/',
    'https://172.31.255.255/',
    'https://192.168.1.1/',
    'https://169.254.169.254/computeMetadata/v1/',
    'https://0xa9fea9fe/',
    'https://100.64.0.1/',
    'https://100.100.100.200/',
    'https://192.0.0.192/',
    'https://192.0.2.1/',
    'https://198.18.0.1/',
    'https://198.51.100.7/',
    'https://203.0.113.9/',
    'https://199.36.153.8/',
    'https://199.36.153.4/',
    'https://224.0.0.1/',
    'https://240.0.0.1/',
    'https://255.255.255.255/',
    'https://[::]/',
    'https://[::1]/',
    'https://[0:0:0:0:0:0:0:1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:8.8.8.8]/',
    'https://[::ffff:a9fe:a9fe]/',
    'https://[::127.0.0.1]/',
    'https://[::8.8.8.8]/',
    'https://[64:ff9b::10.0.0.1]/',
    'https://[64:ff9b:1::1]/',
    'https://[2002:7f00:1::]/',
    'https://[2001::1]/',
    'https://[2001:db8::1]/',
    'https://[fc00::1]/',
    'https://[fd20:ce::254]/',
    'https://[fe80::1]/',
    'https://[fec0::1]/',
    'https://[ff02::1]/',
    'https://[100::1]/',
    'https://[4000::1]/',
  ],
  'name of a private network': [
    'https://localhost/',
    'https://LOCALHOST:8443/',
    'https://localhost./',
    'https://x.localhost/',
    'https://metadata/',
    'https://metadata.google.internal/computeMetadata/v1/',
    'https://METADATA.GOOGLE.INTERNAL./',
    'https://alloydb.corp/',
    'https://printer.local/',
    'https://router.home.arpa/',
    'https://kubernetes.default.svc.cluster.local/',
  ],
  'begin with https://': [
    'http://example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'gopher://example.com/',
    'javascript:alert(1)',
    'data:text/plain,x',
    'ws://example.com/',
  ],
  'user name or password': [
    'https://user@example.com/',
    'https://user:secret@example.com/',
    'https://:secret@example.com/',
    'https://example.com@127.0.0.1/',
    'https://127.0.0.1%2f@example.com/',
  ],
  'spaces, control characters or backslashes': [
    'https://example.com\\@127.0.0.1/',
    'https:\\\\127.0.0.1/',
    'https://exam\nple.com/',
    'https://example.com/\r\nHost: x',
    ' https://example.com/',
    'https://example.com/\u0000',
  ],
  'must be absolute': [
    '',
    '/hook',
    'example.com/hook',
    'https://',
    'https://[::1',
    'https://[fe80::1%25eth0]/',
    'https://1.2.3.256/',
  ],
  'port must be': [
    'https://example.com:22/',
    'https://example.com:80/',
    'https://example.com:25/',
    'https://example.com:1/',
  ],
};

for (const [reason, urls] of Object.entries(hostile)) {
  test(`refused: ${reason}`, () => {
    for (const url of urls) assert.match(problemOf(url) ?? 'accepted', new RegExp(reason), url);
  });
}

test('a URL that is too long is refused', () => {
  assert.match(problemOf(`https://example.com/${'x'.repeat(2048)}`)!, /at most 2048/);
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
    assert.equal(problemOf(url), undefined, url);
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
    assert.equal(problemOf(url, allowed), undefined, url);
  }
  for (const url of [
    'http://127.0.0.2/',
    'https://x.localhost/',
    'https://[::ffff:127.0.0.1]/',
    'http://example.com/',
  ]) {
    assert.notEqual(problemOf(url, allowed), undefined, url);
  }
  assert.match(problemOf('http://user@localhost/', allowed)!, /user name/);
  assert.match(problemOf('file://localhost/etc/passwd', allowed)!, /https/);
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
