import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamResponse, TaskState } from '@a2a-js/sdk';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import type { TaskAsOf } from '#shared/db/tasks/as-of.ts';
import { webhooksExtensionUri } from '#shared/webhooks/options.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { testDatabase } from '../../support/database/postgres.ts';
import { attemptsOf, configOf, statesOf, untilSettled } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { connect, openTestDatabase, startTask, until, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const db = await openTestDatabase();

test('every state arrives in order, and the last with the task and its artifacts', { timeout }, async (t) => {
  const receiver = await startReceiver(t);
  const { outbox } = await startDispatchers(t, db, 1);
  const hook = webhookTo(receiver.url, { token: 'tök', authScheme: 'Bearer', authCredentials: 'hush' });
  const task = await startTask(db, outbox, hook);
  await task.claim();
  await task.artifact({ artifactId: 'a', name: 'answer', parts: [{ text: 'forty' }] });
  await task.artifact({ artifactId: 'a', parts: [{ text: '-two' }] }, { append: true });
  await task.artifact(
    { artifactId: 'b', parts: [{ data: { n: 42 } }] },
    { whole: { artifactId: 'b', parts: [{ data: { n: 42 } }] } },
  );
  await task.end('TASK_STATE_COMPLETED');
  await receiver.count(3);
  await untilSettled(db, task.taskId);

  assert.deepEqual(receiver.events(), [1, 2, 6]);
  for (const { method, headers } of receiver.received) {
    assert.equal(method, 'POST');
    assert.equal(headers['content-type'], 'application/a2a+json');
    assert.equal(headers['x-a2a-notification-token'], 'tök');
    assert.equal(headers.authorization, 'Bearer hush');
    assert.equal(headers['longhaul-task-id'], task.taskId);
    assert.equal(headers['webhook-id'], `${task.taskId}.hook.${headers['longhaul-event'] as string}`);
    assert.ok(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000) < 10);
    assert.equal(headers['longhaul-truncated'], undefined);
  }
  const [first, second, last] = receiver.received.map(({ body }) =>
    StreamResponse.fromJSON(JSON.parse(body)),
  );
  assert.equal(first!.payload?.$case, 'statusUpdate');
  assert.ok(second!.payload?.$case === 'statusUpdate');
  assert.equal(second!.payload.value.status?.state, TaskState.TASK_STATE_WORKING);
  assert.ok(last!.payload?.$case === 'task');
  const { id, contextId, status, artifacts, history, metadata } = last!.payload.value;
  assert.deepEqual(
    [id, contextId, history, metadata],
    [task.taskId, task.contextId, [], { origin: 'test', [webhooksExtensionUri]: { event: 6 } }],
  );
  assert.equal(status?.state, TaskState.TASK_STATE_COMPLETED);
  const contents = artifacts.map(({ artifactId, parts }) => [artifactId, parts.map((part) => part.content)]);
  assert.deepEqual(Object.fromEntries(contents), {
    a: [{ $case: 'text', value: 'forty-two' }],
    b: [{ $case: 'data', value: { n: 42 } }],
  });
  const attempts = await attemptsOf(db, task.taskId);
  assert.deepEqual(
    attempts.map((one) => [one.seq, one.attempt, one.status, one.error]),
    [1, 2, 6].map((seq) => [seq, 1, 200, null]),
  );
  assert.equal(JSON.stringify(await configOf(db, task.taskId)).includes('hush'), false);
});

test(
  'a failed attempt is repeated under the same id, and later events wait for it',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    receiver.answerBy(({ headers }) => {
      const attempts = receiver.received.filter(
        (one) => one.headers['webhook-id'] === headers['webhook-id'],
      ).length;
      return attempts < 3 ? 500 : 200;
    });
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await task.claim();
    await task.end('TASK_STATE_COMPLETED');
    await receiver.count(9);
    await untilSettled(db, task.taskId);
    assert.deepEqual(receiver.events(), [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    assert.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 3);
    assert.deepEqual(
      await statesOf(db, task.taskId),
      [1, 2, 3].map((seq) => [seq, 'delivered', 3]),
    );
    const [attempt] = await attemptsOf(db, task.taskId);
    assert.deepEqual([attempt!.status, attempt!.response_start], [500, 'said so']);
    assert.equal((await configOf(db, task.taskId)).failures, 0);
  },
);

test(
  '410 ends the config: what waits and what follows has failed, and nothing more is sent',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    const release = Promise.withResolvers<number>();
    receiver.answerBy(() => release.promise);
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await receiver.count(1);
    await task.claim();
    release.resolve(410);
    await until(async () => (await configOf(db, task.taskId)).disabled_at !== null);
    await task.end('TASK_STATE_COMPLETED');
    await outbox.idle();
    assert.deepEqual(await statesOf(db, task.taskId), [
      [1, 'failed', 1],
      [2, 'failed', 0],
      [3, 'failed', 0],
    ]);
    assert.match((await configOf(db, task.taskId)).disabled_reason!, /410/);
    assert.equal(receiver.received.length, 1);
  },
);

test(
  'a redirect is a failure, and is not followed; when the schedule is spent the config ends',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const elsewhere = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.01] });
    receiver.answerBy(
      (_request, response) => void response.writeHead(307, { location: elsewhere.url }).end(),
    );
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await until(async () => (await configOf(db, task.taskId)).disabled_at !== null);
    assert.deepEqual(await statesOf(db, task.taskId), [[1, 'failed', 2]]);
    assert.match(
      (await configOf(db, task.taskId)).disabled_reason!,
      /2 attempts in a row have failed; .* status 307/,
    );
    assert.equal(receiver.received.length, 2);
    assert.equal(elsewhere.received.length, 0);
  },
);

test(
  'a receiver that does not answer is given up in time, and so is one that is not there',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { timeoutMs: 1_000, schedule: [0] });
    receiver.answerBy(() => undefined);
    const silent = await startTask(db, outbox, webhookTo(receiver.url));
    const absent = await startTask(db, outbox, webhookTo('http://127.0.0.1:1/'));
    await untilSettled(db, silent.taskId);
    await untilSettled(db, absent.taskId);
    const [timedOut] = await attemptsOf(db, silent.taskId);
    assert.equal(timedOut!.error, 'no answer within 1 s');
    assert.ok(timedOut!.duration_ms >= 990 && timedOut!.duration_ms < 10_000, `${timedOut!.duration_ms}`);
    const [refused] = await attemptsOf(db, absent.taskId);
    assert.match(refused!.error!, /ECONNREFUSED/);
  },
);

test(
  'the status counts even where the rest of the answer does not come; its start is kept',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { timeoutMs: 2_000 });
    receiver.answerBy((_request, response) => {
      response.writeHead(200).write(`\u0000${'x'.repeat(5_000)}`);
    });
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await untilSettled(db, task.taskId);
    assert.deepEqual(await statesOf(db, task.taskId), [[1, 'delivered', 1]]);
    const [attempt] = await attemptsOf(db, task.taskId);
    assert.equal(attempt!.response_start, `\uFFFD${'x'.repeat(1023)}`);
  },
);

test('Retry-After is honoured', { timeout }, async (t) => {
  const receiver = await startReceiver(t);
  const { outbox } = await startDispatchers(t, db, 1);
  receiver.answerBy((_request, response) => {
    if (receiver.received.length > 1) return 200;
    return void response.writeHead(429, { 'retry-after': '1' }).end();
  });
  const task = await startTask(db, outbox, webhookTo(receiver.url));
  await task.claim();
  await receiver.count(2);
  assert.ok(receiver.received[1]!.at - receiver.received[0]!.at >= 1_000);
  await untilSettled(db, task.taskId);
  assert.deepEqual(receiver.events(), [1, 1, 2]);
});

test(
  'an event that comes while an attempt is under way is delivered after it, without any loop',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { outbox, app } = await startDispatchers(t, db, 1);
    const release = Promise.withResolvers<number>();
    receiver.answerBy(() => release.promise);
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await receiver.count(1);
    await task.claim();
    await outbox.idle();
    const { statusCode } = await deliver(app, task.taskId);
    assert.equal(statusCode, 204);
    assert.equal(receiver.received.length, 1);
    release.resolve(200);
    await receiver.count(2);
    assert.deepEqual(receiver.events(), [1, 2]);
  },
);

for (const stops of [false, true]) {
  test(
    `one call goes on with a queue${stops ? ', and rings for the rest where its process stops' : ''}`,
    { timeout },
    async (t) => {
      const receiver = await startReceiver(t);
      const stop = new AbortController();
      const options = { stopping: stop.signal };
      const { outbox, calls, underWay } = await startDispatchers(t, db, 1, options);
      const release = Promise.withResolvers<number>();
      receiver.answerBy(() => release.promise);
      const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }));
      await receiver.count(1);
      await task.claim();
      await task.progress(3);
      await outbox.idle();
      // The wakeups of these events, one for each write, found the config leased.
      await until(() => calls() === 3 && underWay() === 1);
      if (stops) stop.abort();
      release.resolve(200);
      await untilSettled(db, task.taskId);
      await outbox.idle();
      assert.deepEqual(receiver.events(), [1, 2, 3, 4, 5]);
      assert.equal(calls() - 3, stops ? 4 : 0);
    },
  );
}

test('dispatchers that race for one config deliver each event once and in order', { timeout }, async (t) => {
  const receiver = await startReceiver(t);
  const { outbox, app } = await startDispatchers(t, db, 2);
  const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }));
  await task.claim();
  const rung: Promise<unknown>[] = [];
  for (let round = 0; round < 10; round++) {
    await task.progress(4);
    for (let wakeup = 0; wakeup < 6; wakeup++) rung.push(deliver(app, task.taskId));
  }
  await task.end('TASK_STATE_COMPLETED');
  await receiver.count(43);
  await Promise.all(rung);
  await untilSettled(db, task.taskId);
  assert.deepEqual(
    receiver.events(),
    Array.from({ length: 43 }, (_, index) => index + 1),
  );
});

test('one slow receiver does not hold up another', { timeout }, async (t) => {
  const [slow, quick] = [await startReceiver(t), await startReceiver(t)];
  const { outbox } = await startDispatchers(t, db, 1);
  slow.answerBy(() => undefined);
  for (let index = 0; index < 20; index++) await startTask(db, outbox, webhookTo(slow.url));
  await slow.count(20);
  const task = await startTask(db, outbox, webhookTo(quick.url));
  await untilSettled(db, task.taskId);
  assert.deepEqual(quick.events(), [1]);
});

test('an interrupted state carries the task as of that event, not as it became', { timeout }, async (t) => {
  const receiver = await startReceiver(t);
  const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.3] });
  let answer = 500;
  receiver.answerBy(() => answer);
  const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'end' }));
  const draft = { artifactId: 'a', parts: [{ text: 'draft' }] };
  const final = { artifactId: 'a', parts: [{ text: 'final' }] };
  const question = { messageId: uuidv7(), role: 'ROLE_AGENT' as const, parts: [{ text: 'sure?' }] };
  await task.claim();
  await task.artifact(draft, { whole: draft });
  await task.end('TASK_STATE_INPUT_REQUIRED', question);
  await receiver.count(1);
  await acceptFollowUp(
    db,
    { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 },
    {
      taskId: task.taskId,
      tenant: '',
      owner: 'alice',
      messageId: uuidv7(),
      requestHash: 'x',
      message: '{}',
      acceptedOutputModes: null,
      workingEvent: JSON.stringify({
        statusUpdate: {
          taskId: task.taskId,
          contextId: task.contextId,
          status: { state: 'TASK_STATE_WORKING' },
        },
      }),
      statusAt: new Date().toISOString(),
      shown: true,
      traceparent: null,
    },
  );
  await task.claim();
  await task.artifact(final, { whole: final });
  await task.end('TASK_STATE_COMPLETED');
  answer = 200;
  await untilSettled(db, task.taskId);
  const tasks = receiver.received.map(({ body }) => (JSON.parse(body) as { task: TaskAsOf }).task);
  const states = tasks.map(({ status, artifacts }) => [
    status.state,
    status.message?.parts[0]?.text,
    artifacts,
  ]);
  assert.deepEqual(states, [
    ['TASK_STATE_INPUT_REQUIRED', 'sure?', [draft]],
    ['TASK_STATE_INPUT_REQUIRED', 'sure?', [draft]],
    ['TASK_STATE_COMPLETED', undefined, [final]],
  ]);
});

test('a body that would be too large is sent without artifacts, and says so', { timeout }, async (t) => {
  const receiver = await startReceiver(t);
  const { outbox } = await startDispatchers(t, db, 1, { maxBodyBytes: 2_000 });
  const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }));
  await task.claim();
  await task.artifact({ artifactId: 'a', parts: [{ text: 'x'.repeat(1_000_000) }] });
  await task.end('TASK_STATE_COMPLETED');
  await receiver.count(4);
  const bodies = receiver.received.map(({ body }) => StreamResponse.fromJSON(JSON.parse(body)).payload);
  assert.deepEqual(
    receiver.received.map(({ headers }) => headers['longhaul-truncated']),
    [undefined, undefined, 'true', 'true'],
  );
  assert.ok(bodies[2]?.$case === 'statusUpdate' && bodies[3]?.$case === 'task');
  assert.equal(bodies[2].value.status?.state, TaskState.TASK_STATE_WORKING);
  assert.equal(bodies[3].value.status?.state, TaskState.TASK_STATE_COMPLETED);
  assert.deepEqual(bodies[3].value.artifacts, []);
});

test(
  'secrets that cannot be opened are a failure that says so, and nothing is sent',
  { timeout },
  async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.5, 0.01] });
    const task = await startTask(db, undefined, webhookTo(receiver.url, { token: 'x' }));
    const moved = await startTask(db, undefined, webhookTo(receiver.url, { token: 'y' }));
    const { token } = await configOf(db, moved.taskId);
    await db.updateTable('webhook_configs').set({ token }).where('task_id', '=', task.taskId).execute();
    outbox.publish([{ id: '0', kind: 'delivery', taskId: task.taskId, configId: 'hook', dueAt: new Date() }]);
    await until(async () => (await attemptsOf(db, task.taskId)).length > 0);
    assert.match((await attemptsOf(db, task.taskId))[0]!.error!, /changed, moved/);
    assert.equal(receiver.received.length, 0);
  },
);

test('without its database the dispatcher asks to be called again', { timeout }, async (t) => {
  const own = await testDatabase();
  const lost = connect(own.url);
  t.after(() => lost.destroy());
  const { app } = await startDispatchers(t, lost, 1);
  const ready = () => app.inject('/health/ready').then(({ statusCode }) => statusCode);
  assert.equal(await ready(), 200);
  await own.close();
  const { statusCode, headers } = await deliver(app, uuidv7());
  assert.deepEqual([statusCode, headers['retry-after']], [503, '5']);
  assert.equal(await ready(), 503);
  assert.equal((await app.inject('/health/live')).statusCode, 200);
  assert.equal((await deliver(app, 'not an id')).statusCode, 400);
});

function deliver(app: Awaited<ReturnType<typeof startDispatchers>>['app'], taskId: string) {
  return app.inject({ method: 'POST', url: '/deliver', payload: { taskId, configId: 'hook' } });
}
