/** Addresses of clients behind proxies, and the names under which addresses are counted. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { getClientAddress, toAddressKey } from '#services/api/limits/client-address.ts';

describe('addresses of clients', () => {
  const nearest = '10.0.0.1';
  const forwarded = { 'x-forwarded-for': ['198.51.100.9, 192.0.2.1', '10.0.0.2'] };

  test('ignores X-Forwarded-For without trusted proxies', () => {
    assert.equal(getClientAddress(nearest, forwarded, 0), '10.0.0.1');
    assert.equal(getClientAddress('::1', {}, 0), '::1');
  });

  test('takes the entry that the farthest trusted proxy has added', () => {
    assert.equal(getClientAddress(nearest, forwarded, 1), '10.0.0.2');
    assert.equal(getClientAddress(nearest, forwarded, 2), '192.0.2.1');
    assert.equal(getClientAddress(nearest, { 'x-forwarded-for': '192.0.2.1' }, 5), '192.0.2.1');
    assert.equal(getClientAddress(nearest, {}, 1), '10.0.0.1');
  });

  test('counts an IPv6 network of 64 bits as one client', () => {
    assert.equal(toAddressKey('2001:db8:1:2:3:4:5:6'), toAddressKey('2001:db8:1:2::9'));
    assert.notEqual(toAddressKey('2001:db8:1:2::9'), toAddressKey('2001:db8:1:3::9'));
  });

  test('counts an IPv4 address in IPv6 form as the IPv4 address', () => {
    assert.equal(toAddressKey('::ffff:192.0.2.1'), '192.0.2.1');
    assert.equal(toAddressKey('192.0.2.1'), '192.0.2.1');
  });

  test('counts everything that is not an address together', () => {
    assert.equal(toAddressKey('x'.repeat(10_000)), toAddressKey(''));
  });
});
