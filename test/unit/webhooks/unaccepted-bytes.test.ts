/** Full bodies only for hosts that accept webhooks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { UnacceptedBytes } from '#services/dispatcher/bytes/unaccepted-bytes.ts';
import { toReceiver } from '#services/dispatcher/schedule/receiver.ts';

const megabyte = 1024 ** 2;
const good = new URL('https://good.example/');

function create() {
  let now = 0;
  const bytes = new UnacceptedBytes({
    hostBytesPerHour: 4 * megabyte,
    ownerBytesPerHour: 16 * megabyte,
    now: () => now,
  });
  /** Sends full bodies as long as they are allowed, at most 1,000. Returns how many. */
  const sendFull = (url: URL, accepted: boolean, owner = 'a') => {
    for (let n = 0; n < 1_000; n++) {
      const receiver = toReceiver(owner, url);
      if (bytes.getSize(receiver) !== 'full') return n;
      bytes.send(receiver, megabyte)(accepted);
    }
    return 1_000;
  };
  return { bytes, sendFull, pass: (ms: number) => (now += ms) };
}

describe('UnacceptedBytes', () => {
  test('allows a host that refuses four full bodies in an hour', () => {
    const { sendFull, pass } = create();
    assert.equal(sendFull(new URL('https://victim.example:8001/a'), false), 4);
    assert.equal(sendFull(new URL('https://victim.example:8002/b'), false), 0);
    pass(3_600_000);
    assert.equal(sendFull(new URL('https://victim.example:8003/c'), false), 4);
  });

  test('bounds the full bodies of an owner who names many hosts', () => {
    const { sendFull } = create();
    const counts = Array.from({ length: 100 }, (_, n) =>
      sendFull(new URL(`https://host${n}.example/`), false),
    );
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      16,
    );
    assert.equal(sendFull(new URL('https://victim.example/'), false, 'b'), 4);
  });

  test('lets full bodies wait for those in flight to a host that has accepted none', () => {
    const { bytes } = create();
    const ends = Array.from({ length: 4 }, () => bytes.send(toReceiver('a', good), megabyte));
    assert.equal(bytes.getSize(toReceiver('a', good)), 'later');
    ends[0]!(false);
    assert.equal(bytes.getSize(toReceiver('a', good)), 'later');
    ends[1]!(true);
    assert.equal(bytes.getSize(toReceiver('a', good)), 'full');
  });

  test('sends thin bodies when those in flight have failed', () => {
    const { bytes } = create();
    const ends = Array.from({ length: 4 }, () => bytes.send(toReceiver('a', good), megabyte));
    for (const end of ends) end(false);
    assert.equal(bytes.getSize(toReceiver('a', good)), 'thin');
  });

  test('lets full bodies to many new hosts wait for those in flight', () => {
    const { bytes } = create();
    const hosts = Array.from({ length: 17 }, (_, n) => new URL(`https://host${n}.example/`));
    const ends = hosts.slice(0, 16).map((url) => bytes.send(toReceiver('a', url), megabyte));
    assert.equal(bytes.getSize(toReceiver('a', hosts[16]!)), 'later');
    for (const end of ends) end(true);
    assert.equal(bytes.getSize(toReceiver('a', hosts[16]!)), 'full');
  });

  test('sets no bound for a host that accepts', () => {
    const { bytes, sendFull } = create();
    assert.equal(sendFull(good, true), 1_000);
    const ends = Array.from({ length: 100 }, () => bytes.send(toReceiver('a', good), megabyte));
    assert.equal(bytes.getSize(toReceiver('a', good)), 'full');
    ends[0]!(true);
  });

  test('sends full bodies again after the first that is accepted', () => {
    const { bytes, sendFull } = create();
    assert.equal(sendFull(good, false), 4);
    bytes.send(toReceiver('a', good), 1_000)(true);
    assert.equal(sendFull(good, false), 4);
    assert.equal(sendFull(good, true), 0);
  });
});
