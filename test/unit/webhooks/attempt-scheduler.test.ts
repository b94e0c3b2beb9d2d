/** Which webhook attempts a dispatcher makes now, with a stopped clock. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as settle } from 'node:timers/promises';
import { toReceiver } from '#services/dispatcher/schedule/receiver.ts';
import type { AttemptSlot } from '#services/dispatcher/schedule/attempt-slot.ts';
import { AttemptScheduler } from '#services/dispatcher/schedule/scheduler.ts';
import { SharedSlots } from '#services/dispatcher/schedule/shared-slots.ts';
import { getDestination } from '#shared/net/destination.ts';

function createScheduler(
  options: {
    concurrency?: number;
    receiverConcurrency?: number;
    maxReceiverConcurrency?: number;
    leaseMarginSeconds?: number;
  } = {},
) {
  let now = 0;
  const stopping = new AbortController();
  const scheduler = new AttemptScheduler({
    concurrency: options.concurrency ?? 200,
    receiverConcurrency: options.receiverConcurrency ?? 20,
    maxReceiverConcurrency: options.maxReceiverConcurrency ?? options.receiverConcurrency ?? 20,
    leaseMarginSeconds: options.leaseMarginSeconds ?? 15,
    stopping: stopping.signal,
    now: () => now,
    chance: () => 0,
  });
  let count = 0;
  const getDelivery = () => ({ taskId: 'task', configId: 'hook', seq: ++count });
  /** A queue of one attempt. */
  const take = async (
    owner: string,
    url: string,
    delivery = getDelivery(),
    failures = 0,
  ): Promise<AttemptSlot> => {
    const processSlot = scheduler.enter(owner);
    const slot = await scheduler.acquire({
      delivery,
      receiver: toReceiver(owner, new URL(url)),
      failures,
      processSlot,
    });
    if (slot.kind === 'deferred') processSlot?.release();
    if (slot.kind === 'deferred') return slot;
    const release = (up: boolean | undefined): void => {
      slot.release(up);
      processSlot?.release();
    };
    return { ...slot, release };
  };
  /** Sends the request at once. */
  const acquire = async (owner: string, url: string, failures = 0) => {
    const slot = await take(owner, url, getDelivery(), failures);
    if (slot.kind === 'acquired') slot.sent();
    return slot;
  };
  /** Returns how many of `count` attempts at different URLs find a slot. */
  const acquireMany = async (owner: string, count: number, getUrl: (n: number) => string) => {
    const slots: AttemptSlot[] = [];
    for (let n = 0; n < count; n++) slots.push(await acquire(owner, getUrl(n)));
    return { slots, acquired: slots.filter(({ kind }) => kind === 'acquired').length };
  };
  const stop = () => stopping.abort();
  return { scheduler, take, acquire, acquireMany, stop, pass: (ms: number) => (now += ms) };
}

function release(slot: AttemptSlot, up: boolean): void {
  assert.ok(slot.kind === 'acquired');
  slot.release(up);
}

/** Makes a receiver slow enough that attempts do not wait for it. */
async function slowDown(
  { acquire, pass }: Pick<ReturnType<typeof createScheduler>, 'acquire' | 'pass'>,
  owner: string,
  url: string,
) {
  const slot = await acquire(owner, url);
  pass(60_000);
  release(slot, true);
}

describe('SharedSlots', () => {
  test('gives half to one busy group and a third to each of two', () => {
    const slots = new SharedSlots(120);
    const fill = (group: string) => {
      while (slots.mayTake(group)) slots.take(group);
      return slots.held(group);
    };
    assert.equal(fill('a'), 60);
    assert.equal(fill('b'), 30);
    for (let n = 0; n < 30; n++) slots.release('a');
    while (slots.mayTake('a') || slots.mayTake('b')) {
      if (slots.mayTake('a')) slots.take('a');
      if (slots.mayTake('b')) slots.take('b');
    }
    assert.deepEqual([slots.held('a'), slots.held('b')], [40, 40]);
    assert.ok(slots.mayTake('c'));
  });

  test('has a slot for each of many small groups', () => {
    const slots = new SharedSlots(10);
    for (let n = 0; n < 10; n++) {
      assert.ok(slots.mayTake(`group ${n}`));
      slots.take(`group ${n}`);
    }
    assert.ok(!slots.mayTake('another'));
  });
});

describe('getDestination', () => {
  test('ignores the port and the last 64 bits of an IPv6 address', () => {
    const destinations = [
      'https://Example.com:8443/a',
      'https://example.com./b',
      'https://[2001:db8:0:1::1]/',
      'https://[2001:db8:0:1:ffff::2]:444/',
      'https://[2001:db8:0:2::1]/',
    ].map((url) => getDestination(new URL(url)));
    assert.deepEqual(destinations, [
      'example.com',
      'example.com',
      '2001:db8:0:1::/64',
      '2001:db8:0:1::/64',
      '2001:db8:0:2::/64',
    ]);
  });
});

describe('AttemptScheduler', () => {
  test('gives an owner half of the slots however many hosts it names', async () => {
    const { acquire, acquireMany } = createScheduler();
    const { acquired, slots } = await acquireMany('a', 1_000, (n) => `https://evil${n}.example/`);
    assert.equal(acquired, 100);
    assert.deepEqual(
      slots.slice(acquired).filter((slot) => slot.kind === 'deferred' && slot.reason === 'owner_busy').length,
      900,
    );
    assert.equal((await acquire('b', 'https://good.example/')).kind, 'acquired');
  });

  test('counts all ports and paths of a host together', async () => {
    const scheduler = createScheduler();
    const getUrl = (n: number) => `https://evil.example:${2_000 + (n % 51)}/${n}`;
    for (let n = 0; n < 200; n++) await slowDown(scheduler, 'a', getUrl(n));
    const { acquired } = await scheduler.acquireMany('a', 200, getUrl);
    assert.equal(acquired, 40);
  });

  test('isolates owners that share a host', async () => {
    const scheduler = createScheduler();
    const getUrl = (n: number) => `https://shared.example/${n}`;
    for (let n = 0; n < 50; n++) await slowDown(scheduler, 'a', getUrl(n));
    await scheduler.acquireMany('a', 50, getUrl);
    const { acquired } = await scheduler.acquireMany('b', 10, () => 'https://shared.example/good');
    assert.equal(acquired, 10);
  });

  test('keeps slots for another receiver of the same owner at the same host', async () => {
    const scheduler = createScheduler();
    await slowDown(scheduler, 'a', 'https://one.example/tarpit');
    const tarpit = await scheduler.acquireMany('a', 50, () => 'https://one.example/tarpit');
    assert.equal(tarpit.acquired, 20);
    const good = await scheduler.acquireMany('a', 5, () => 'https://one.example/good');
    assert.equal(good.acquired, 5);
  });

  test('spreads deferred attempts at the pace of those in flight', async () => {
    const scheduler = createScheduler();
    await scheduler.acquireMany('a', 100, (n) => `https://evil${n}.example/`);
    scheduler.pass(15_000);
    const { slots } = await scheduler.acquireMany('a', 1_000, (n) => `https://evil${n}.example/`);
    const delays = slots.map((slot) => (slot.kind === 'deferred' ? slot.delaySeconds : 0));
    // A hundred attempts that take 15 s make room for 20 in 3 s.
    assert.equal(delays.filter((delay) => delay <= 3.01).length, 20);
    assert.ok(Math.abs(Math.max(...delays) - 150) < 1);
  });

  test('expects no delay from time that passed before the request was sent', async () => {
    const { take, acquireMany, pass } = createScheduler({ concurrency: 2 });
    const slot = await take('a', 'https://one.example/');
    pass(60_000);
    assert.equal((await acquireMany('a', 1, () => 'https://one.example/')).slots[0]?.kind, 'deferred');
    assert.ok(slot.kind === 'acquired');
    slot.sent();
    pass(10);
    slot.release(true);
    const again = await take('a', 'https://one.example/');
    const late = await take('a', 'https://one.example/');
    assert.ok(again.kind === 'acquired' && late.kind === 'deferred' && late.delaySeconds <= 0.5);
  });

  test('brings deferred deliveries forward, two for each request that ends quickly', async () => {
    const { scheduler, take, acquire, acquireMany, pass } = createScheduler({ receiverConcurrency: 1 });
    const url = 'https://one.example/';
    await slowDown({ acquire, pass }, 'a', url);
    const { slots } = await acquireMany('a', 6, () => url);
    const [held] = slots;
    assert.deepEqual(
      slots.map((slot) => slot.kind === 'deferred' && slot.reason),
      [false, 'host_busy', 'host_busy', 'host_busy', 'host_busy', 'host_busy'],
    );
    release(held!, true);
    let quick = 0;
    let due = scheduler.takeDue();
    for (; due.length === 0; due = scheduler.takeDue()) {
      release(await acquire('a', url), true);
      quick += 1;
    }
    assert.ok(quick > 5, 'the receiver is expected to be slow at first');
    assert.deepEqual(
      due.map(({ seq }) => seq),
      [3, 4],
    );
    release(await acquire('a', url), false);
    assert.deepEqual(scheduler.takeDue(), [], 'the request failed');
    const slot = await take('a', url, due[0]);
    assert.ok(slot.kind === 'acquired');
    slot.release(true);
    assert.deepEqual(
      scheduler.takeDue().map(({ seq }) => seq),
      [5, 6],
    );
  });

  test('brings nothing forward for another receiver of the same host', async () => {
    const { scheduler, acquire, acquireMany } = createScheduler({ receiverConcurrency: 1 });
    await acquireMany('a', 2, () => 'https://one.example/hangs');
    release(await acquire('a', 'https://one.example/good'), true);
    assert.deepEqual(scheduler.takeDue(), []);
  });

  test('bounds the delay of a deferred attempt', async () => {
    const scheduler = createScheduler({ concurrency: 2 });
    await scheduler.acquire('a', 'https://evil.example/');
    scheduler.pass(60_000);
    const { slots } = await scheduler.acquireMany('a', 100, () => 'https://evil.example/');
    assert.ok(slots.every((slot) => slot.kind === 'deferred' && slot.delaySeconds <= 600));
  });

  test('probes a receiver that keeps failing until an attempt succeeds', async () => {
    const { acquire, pass } = createScheduler();
    const url = 'https://one.example/down';
    const fail = async (failures = 0) => {
      const slot = await acquire('a', url, failures);
      if (slot.kind === 'acquired') slot.release(false);
      return slot.kind;
    };
    for (let n = 0; n < 10; n++) assert.equal(await fail(), 'acquired');
    assert.equal(await fail(), 'deferred');
    pass(1_000);
    assert.equal(await fail(), 'acquired');
    assert.equal(await fail(), 'deferred');
    assert.equal(await fail(3), 'acquired', 'a delivery that failed often is not deferred');
    for (const [owner, other] of [
      ['a', 'https://one.example/up'],
      ['b', url],
    ] as const) {
      assert.equal((await acquire(owner, other)).kind, 'acquired', `${owner} ${other}`);
    }
    pass(1_000);
    const probe = await acquire('a', url);
    assert.equal(await fail(), 'deferred', 'one probe at a time');
    release(probe, true);
    for (let n = 0; n < 5; n++) assert.equal((await acquire('a', url)).kind, 'acquired');
  });

  test('gives a free slot to the first waiter and defers the next after a second', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { acquire } = createScheduler({ receiverConcurrency: 1 });
    const url = 'https://one.example/busy';
    const first = await acquire('a', url);
    const [second, third] = [acquire('a', url), acquire('a', url)];
    release(first, true);
    const entered = await second;
    assert.equal(entered.kind, 'acquired');
    t.mock.timers.tick(1_000);
    const late = await third;
    assert.ok(late.kind === 'deferred' && late.reason === 'host_busy');
    assert.equal(late.delaySeconds, 0.25);
    release(entered, true);
    assert.equal((await acquire('a', url)).kind, 'acquired');
  });

  test('gives a receiver more attempts at a time when it answers', async () => {
    const { acquire, acquireMany } = createScheduler({ receiverConcurrency: 2, maxReceiverConcurrency: 8 });
    const url = 'https://one.example/';
    const slots = [await acquire('a', url), await acquire('a', url)];
    for (const slot of slots) release(slot, true);
    assert.equal((await acquireMany('a', 4, () => url)).acquired, 4);
  });

  test('reports its room for any one owner, and the owners that have none', async () => {
    const { scheduler, acquireMany } = createScheduler({ concurrency: 40 });
    const getUrl = (n: number) => `https://host${n}.example/`;
    await acquireMany('a', 10, getUrl);
    assert.deepEqual(scheduler.getRoom(), { attempts: 10, busyOwners: [] });
    await acquireMany('a', 9, getUrl);
    assert.deepEqual(scheduler.getRoom(), { attempts: 1, busyOwners: [] });
    await acquireMany('a', 1, getUrl);
    assert.deepEqual(scheduler.getRoom(), { attempts: 10, busyOwners: ['a'] });
    assert.deepEqual(
      [scheduler.hasRoom('a'), scheduler.hasRoom('b'), scheduler.hasRoom()],
      [false, true, true],
    );
    for (let owner = 0; owner < 11; owner++) await acquireMany(`owner ${owner}`, 10, getUrl);
    assert.equal(scheduler.getRoom().attempts, 0);
    assert.equal(scheduler.hasRoom(), false);
  });

  test('lets a queue keep its slot of the process while its owner has its share', async () => {
    const { scheduler } = createScheduler({ concurrency: 4 });
    let room = 0;
    scheduler.onRoom(() => (room += 1));
    const [processSlot, other] = [scheduler.enter('a'), scheduler.enter('a')];
    assert.ok(processSlot !== undefined && other !== undefined);
    for (let seq = 1; seq <= 3; seq++) {
      const delivery = { taskId: 'task', configId: 'hook', seq };
      const receiver = toReceiver('a', new URL('https://one.example/'));
      const slot = await scheduler.acquire({ delivery, receiver, failures: 0, processSlot });
      release(slot, true);
      assert.deepEqual([scheduler.enter('a'), processSlot.mayKeep(), room], [undefined, true, 0]);
    }
    assert.ok(scheduler.enter('b') !== undefined && processSlot.mayKeep());
    assert.ok(scheduler.enter('c') !== undefined && !processSlot.mayKeep());
    processSlot.release();
    assert.deepEqual([room, other.mayKeep()], [1, true]);
  });

  test('lets queues wait for slots of the process that are expected soon', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { scheduler, take, acquire, pass } = createScheduler({ concurrency: 4 });
    const known = await acquire('a', 'https://one.example/');
    const first = scheduler.enter('a');
    assert.equal(await scheduler.waitToEnter('a'), undefined, 'no request has ended');
    pass(10);
    release(known, true);
    const second = scheduler.enter('a');
    const [next, late] = [scheduler.waitToEnter('a'), scheduler.waitToEnter('a')];
    assert.equal(await scheduler.waitToEnter('a'), undefined, 'as many wait as can have slots');
    first?.release();
    assert.ok((await next) !== undefined);
    assert.equal(scheduler.enter('a'), undefined);
    t.mock.timers.tick(4_000);
    assert.equal(await late, undefined);
    second?.release();
    const slot = await take('a', 'https://one.example/');
    assert.ok(slot.kind === 'acquired');
    slot.sent();
    pass(3_000);
    assert.equal(await scheduler.waitToEnter('a'), undefined, 'the receiver is slow');
  });

  test('waits for at most a third of the margin of a lease', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    for (const [leaseMarginSeconds, entryMs, hostMs] of [
      [1.5, 400, 100],
      [3, 800, 200],
      [15, 4_000, 1_000],
      [600, 4_000, 1_000],
    ] as const) {
      const limits = { concurrency: 4, receiverConcurrency: 1, leaseMarginSeconds };
      const { scheduler, acquire, take, pass } = createScheduler(limits);
      const url = 'https://one.example/';
      const known = await acquire('a', url);
      pass(10);
      release(known, true);
      const measure = async (wait: Promise<unknown>, ms: number) => {
        let ended = false;
        void wait.then(() => (ended = true));
        await settle();
        t.mock.timers.tick(ms - 1);
        await settle();
        assert.ok(!ended, `${leaseMarginSeconds} s: ended before ${ms} ms`);
        t.mock.timers.tick(1);
        await settle();
        assert.ok(ended, `${leaseMarginSeconds} s: not ended after ${ms} ms`);
      };
      const held = await acquire('a', url);
      await measure(take('a', url), hostMs);
      assert.ok(scheduler.enter('a') !== undefined && scheduler.enter('a') === undefined);
      await measure(scheduler.waitToEnter('a'), entryMs);
      release(held, true);
    }
  });

  test('defers what waits for a slot when the process shuts down', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    for (const admitted of [false, true]) {
      const { scheduler, acquire, pass, stop } = createScheduler({ concurrency: 4 });
      const known = await acquire('a', 'https://one.example/');
      pass(10);
      release(known, true);
      const held = [scheduler.enter('a'), scheduler.enter('a')];
      const waiting = scheduler.waitToEnter('a');
      // It has its slot then, but has not started yet.
      if (admitted) held.pop()?.release();
      stop();
      assert.equal(await waiting, undefined);
      assert.equal(await scheduler.waitToEnter('a'), undefined, 'nothing waits any more');
      for (const slot of held) slot?.release();
      assert.ok(scheduler.enter('a') !== undefined && scheduler.enter('a') !== undefined, 'all are free');
    }
  });

  test('defers what waits for a slot of the host when the process shuts down', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { acquire, stop } = createScheduler({ receiverConcurrency: 1 });
    const url = 'https://one.example/';
    const first = await acquire('a', url);
    const waiting = acquire('a', url);
    await settle();
    stop();
    release(first, true);
    const late = await waiting;
    assert.ok(late.kind === 'deferred' && late.reason === 'host_busy');
    assert.equal((await acquire('a', url)).kind, 'acquired', 'its slot is free');
  });

  test('prefers waiters whose owner holds fewer slots of the host', async () => {
    const { acquire } = createScheduler({ receiverConcurrency: 1 });
    const url = 'https://one.example/';
    const held = [await acquire('a', `${url}1`), await acquire('b', url), await acquire('c', url)];
    const order: string[] = [];
    const waiting = ['a', 'd'].map(async (owner) => {
      const slot = await acquire(owner, `${url}2`);
      order.push(owner);
      release(slot, true);
    });
    release(held[1]!, true);
    release(held[2]!, true);
    await Promise.all(waiting);
    assert.deepEqual(order, ['d', 'a']);
  });
});
