/** Owners share workers: one owner's tasks neither delay those of others nor exceed the owner's limit. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test, type TestContext } from 'node:test';
import { priorityExtension } from '#services/api/extensions/priority.ts';
import { aliceKey, apiKeysEnv, bobKey, carolKey } from '../../support/services/api-keys.ts';
import { freePort } from '../../support/network/ports.ts';
import { createPubSubClient } from '../../support/pubsub/client.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import type { Stack } from '../../support/stack.ts';
import { trackCalls } from '../../support/agents/tracked-tool.ts';
import { waitFor } from '../../support/wait-for.ts';

const keys = { alice: aliceKey, bob: bobKey, carol: carolKey };
type Owner = keyof typeof keys;
const owners = ['alice', 'bob', 'carol'] as const;

async function startOwners(t: TestContext, env: Record<string, string> = {}) {
  // Long leases, so that a slow machine does not lose one and start a turn again.
  const { stack, tool } = await startScriptedStack(t, { ...apiKeysEnv(), LEASE_SECONDS: '30', ...env });
  return { stack, tool, calls: trackCalls(tool) };
}

/** Sends a task whose only step has the name of its owner. */
async function send(
  stack: Stack,
  owner: Owner,
  { text = `step ${owner}`, metadata = {} }: { text?: string; metadata?: object } = {},
): Promise<string> {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
  const params = { message, metadata, configuration: { returnImmediately: true } };
  const { result, error } = await stack.rpc('SendMessage', params, keys[owner]);
  if (error !== undefined) throw new Error(error.message);
  return result.task.id;
}

async function sendMany(stack: Stack, owner: Owner, count: number, text?: string): Promise<void> {
  let left = count;
  const sendNext = async () => {
    while (left-- > 0) await send(stack, owner, { ...(text !== undefined && { text }) });
  };
  await Promise.all(Array.from({ length: 20 }, sendNext));
}

async function count(stack: Stack, query: string): Promise<number> {
  const { rows } = await stack.pool.query<{ count: number }>(`select count(*)::int as count from ${query}`);
  return rows[0]?.count ?? 0;
}

/** Resolves when all tasks have completed and nothing is queued. */
async function untilAllCompleted(stack: Stack): Promise<void> {
  await waitFor(
    'the end of all tasks',
    async () => (await count(stack, 'gates where state_class < 2')) === 0,
  );
  assert.equal(await count(stack, `tasks where state <> 'TASK_STATE_COMPLETED'`), 0);
  assert.equal(await count(stack, 'queued_turns'), 0);
}

const untilQueued = (stack: Stack, expected: number) =>
  waitFor(`${expected} queued turns`, async () => (await count(stack, 'queued_turns')) === expected);

describe('a worker', () => {
  test('starts a task of another owner at once while one owner has a thousand', async (t) => {
    const { stack, calls } = await startOwners(t);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    await sendMany(stack, 'alice', 1_000);
    const waits = [];
    for (let sent = 1; sent <= 3; sent++) {
      const from = performance.now();
      await send(stack, 'bob');
      await waitFor('a task of bob', () => calls.inFlight('bob') === sent);
      waits.push(Math.round(performance.now() - from));
    }
    t.diagnostic(`bob's tasks started after ${waits.join(', ')} ms`);
    assert.ok(Math.min(...waits) < 1_000, `${Math.min(...waits)} ms`);
    await untilQueued(stack, 920);
    assert.equal(calls.most('alice'), 80);
    calls.answerAfter(0);
    await untilAllCompleted(stack);
    assert.equal(calls.most('alice'), 80);
  });

  test('shares its slots equally among owners whose turns wait', async (t) => {
    const { stack, calls } = await startOwners(t, { WORKER_CONCURRENCY: '13' });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const untilRunning = (expected: Record<Owner, number>) =>
      waitFor(`${JSON.stringify(expected)} running turns`, () =>
        owners.every((owner) => calls.inFlight(owner) === expected[owner]),
      );
    for (const owner of owners) await sendMany(stack, owner, 20);
    await untilRunning({ alice: 10, bob: 2, carol: 1 });
    await untilQueued(stack, 60 - 13);
    // One at a time, because each freed slot is given at once. One slot stays free.
    for (const alice of [9, 8, 7, 6, 5, 4]) {
      calls.answerOne('alice');
      await waitFor(`${alice} turns of alice and 12 in all`, () => {
        const running = owners.reduce((sum, owner) => sum + calls.inFlight(owner), 0);
        return calls.inFlight('alice') === alice && running === 12;
      });
    }
    await untilRunning({ alice: 4, bob: 4, carol: 4 });
    calls.answerAfter(0);
    await untilAllCompleted(stack);
  });

  test('runs queued turns that dead workers have left', async (t) => {
    const { stack, calls } = await startOwners(t, { WORKER_CONCURRENCY: '5' });
    const [, worker] = await Promise.all([stack.start('api'), stack.start('worker')]);
    await sendMany(stack, 'alice', 40);
    await untilQueued(stack, 36);
    await worker.kill();
    await stack.endLeases('worker');
    calls.answerAfter(0);
    await stack.start('worker');
    await untilAllCompleted(stack);
  });

  test('runs turns whose wake-ups do not name the owner', async (t) => {
    const { stack, calls } = await startOwners(t, { WORKER_CONCURRENCY: '2' });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    await sendMany(stack, 'alice', 2);
    await untilQueued(stack, 1);
    const { rows } = await stack.pool.query<{ task_id: string }>(
      'delete from queued_turns returning task_id',
    );
    const topic = createPubSubClient(t, stack).topic('longhaul-turns');
    await topic.publishMessage({ json: { taskId: rows[0]?.task_id, turn: 1 } });
    await untilQueued(stack, 1);
    calls.answerAfter(0);
    await untilAllCompleted(stack);
  });
});

describe('the limit of concurrent turns', () => {
  test('holds for all workers together and survives one of them', async (t) => {
    const { stack, calls } = await startOwners(t, { OWNER_MAX_CONCURRENT_TURNS: '3' });
    const [, first] = await Promise.all([
      stack.start('api'),
      stack.start('worker', { WORKER_NAME: 'first' }),
      stack.start('worker'),
    ]);
    await sendMany(stack, 'alice', 40);
    await waitFor('three turns', () => calls.inFlight('alice') === 3);
    await untilQueued(stack, 37);
    calls.answerAfter(30);
    await waitFor('ten ended tasks', async () => (await count(stack, 'gates where state_class = 2')) >= 10);
    await first.kill();
    await stack.pool.query(
      `with extended as (delete from extended_leases)
       update gates set lease_until = now() - interval '1 second', wakeup_at = least(wakeup_at, now())
       where worker = 'first'`,
    );
    await untilAllCompleted(stack);
    assert.equal(calls.most('alice'), 3);
  });

  test('can be set for one owner, and be lifted while turns wait for it', async (t) => {
    const { stack, calls } = await startOwners(t);
    await stack.pool.query(
      `insert into owner_limits (owner, limits) values ('key:alice', '{"concurrentTurns": 2}')`,
    );
    await Promise.all([stack.start('api'), stack.start('worker')]);
    await sendMany(stack, 'alice', 10);
    await sendMany(stack, 'bob', 10);
    await waitFor('all turns of bob', () => calls.inFlight('bob') === 10);
    await untilQueued(stack, 8);
    await waitFor('the first turns of alice', () => calls.inFlight('alice') >= 2);
    assert.equal(calls.most('alice'), 2);
    await stack.pool.query('delete from owner_limits');
    await waitFor('all turns of alice', () => calls.inFlight('alice') === 10);
    calls.answerAfter(0);
    await untilAllCompleted(stack);
  });
});

describe('the priority of a task', () => {
  test('orders the queued tasks of its owner', async (t) => {
    const { stack, tool, calls } = await startOwners(t, { OWNER_MAX_CONCURRENT_TURNS: '1' });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    await send(stack, 'alice', { text: 'step running' });
    await waitFor('the first task', () => calls.inFlight('running') === 1);
    for (const priority of [0, -10, 10, 3, 0]) {
      const metadata = { [priorityExtension]: priority };
      await send(stack, 'alice', { text: `step priority${priority}`, metadata });
    }
    await untilQueued(stack, 5);
    calls.answerAfter(0);
    await untilAllCompleted(stack);
    const order = tool.received.map(({ body }) => body.split('/')[2]);
    const expected = ['running', 'priority10', 'priority3', 'priority0', 'priority0', 'priority-10'];
    assert.deepEqual(order, expected);
  });

  test('is refused if it is out of bounds', async (t) => {
    const { stack } = await startOwners(t);
    await stack.start('api');
    for (const priority of [11, -11, 1.5, '1', null]) {
      await assert.rejects(send(stack, 'alice', { metadata: { [priorityExtension]: priority } }), {
        message: `metadata["${priorityExtension}"] must be a whole number from -10 to 10`,
      });
    }
  });
});

describe('a worker in push mode', () => {
  async function startPushed(t: TestContext, env: Record<string, string>) {
    const port = await freePort();
    const owners = await startOwners(t, { WORKER_MODE: 'push', CALLER_AUTH: 'none', ...env });
    const pubsub = createPubSubClient(t, owners.stack);
    await pubsub.topic('longhaul-turns').createSubscription('pushed', {
      pushConfig: { pushEndpoint: `http://127.0.0.1:${port}/turns` },
    });
    await Promise.all([owners.stack.start('api'), owners.stack.start('worker', { PORT: String(port) })]);
    return owners;
  }

  test('queues the turns of an owner without room and wakes them later', async (t) => {
    const { stack, calls } = await startPushed(t, { WORKER_CONCURRENCY: '10', WAKEUP_GRACE_SECONDS: '60' });
    await sendMany(stack, 'alice', 100);
    await untilQueued(stack, 92);
    await send(stack, 'bob');
    await waitFor('the task of bob', () => calls.inFlight('bob') === 1);
    calls.answerAfter(5);
    await untilAllCompleted(stack);
    assert.equal(calls.most('alice'), 8);
  });

  test('keeps the limit of an owner', async (t) => {
    const { stack, calls } = await startPushed(t, { OWNER_MAX_CONCURRENT_TURNS: '2' });
    await sendMany(stack, 'alice', 30);
    await untilQueued(stack, 28);
    calls.answerAfter(5);
    await untilAllCompleted(stack);
    assert.equal(calls.most('alice'), 2);
  });
});
