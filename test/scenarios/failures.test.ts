/**
 * What dies or lies, and what then happens: one test for each row of the failure table in ARCHITECTURE.md, with real
 * processes that are really killed.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { watchRecovery } from '../tools/chaos/recovery.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';
import { isCompleted, startStack, type Stack } from '../support/stack.ts';

const agentModule = path.resolve('test/support/agents/scripted.ts');

async function scripted(t: TestContext, extra: Record<string, string> = {}) {
  const tool = await startReceiver(t);
  const stack = await startStack(t, { AGENT_MODULE: agentModule, TEST_LOG_URL: tool.url, ...extra });
  return { stack, tool };
}

test('no worker and no Pub/Sub: sends are answered in milliseconds, and run when both are back', async (t) => {
  const { stack } = await scripted(t);
  await stack.start('api');
  await stack.submit('say warm');
  await untilPublished(stack);
  await stack.stopPubSub();
  const tasks: { id: string; ms: number }[] = [];
  for (let send = 0; send < 5; send++) {
    const began = performance.now();
    const { id, status } = await stack.submit('say hello');
    tasks.push({ id, ms: performance.now() - began });
    assert.equal(status.state, 'TASK_STATE_SUBMITTED');
  }
  // The quickest tells what it takes; the others also what else the machine does.
  const quickest = Math.min(...tasks.map(({ ms }) => ms));
  assert.ok(quickest < 250, `answered in ${quickest} ms`);
  assert.equal(
    (await stack.pool.query(`select from outbox`)).rows.length,
    tasks.length,
    'no wakeup was taken',
  );
  const worker = stack.start('worker');
  await stack.startPubSub();
  await worker;
  for (const { id } of tasks) {
    assert.equal((await stack.until(id, isCompleted)).artifacts?.[0]?.parts[0]?.text, 'hello');
  }
});

test('the api dies after the commit, before it has published: the relay does', async (t) => {
  const { stack } = await scripted(t);
  await stack.stopPubSub();
  const api = await stack.start('api');
  const task = await stack.submit('say hello');
  await api.kill();
  await stack.startPubSub();
  await Promise.all([stack.start('api'), stack.start('worker')]);
  await stack.until(task.id, isCompleted);
});

test('Pub/Sub loses every message: the reconciler rings', async (t) => {
  const { stack } = await scripted(t);
  await stack.start('api');
  const task = await stack.submit('say hello');
  await untilPublished(stack);
  // It comes back empty: the wakeup that it had taken is gone.
  await stack.stopPubSub();
  await stack.startPubSub();
  await stack.start('worker');
  await stack.until(task.id, isCompleted);
});

test('a message that comes twice, or late, changes nothing', async (t) => {
  const { stack, tool } = await scripted(t);
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const task = await stack.submit('step once 300\nsay done');
  await tool.count(1);
  await publish(stack, task.id, 1);
  await publish(stack, task.id, 1);
  await stack.until(task.id, isCompleted);
  await publish(stack, task.id, 1);
  const other = await stack.submit('say later');
  await stack.until(other.id, isCompleted);
  assert.equal(tool.received.length, 1);
});

test('kill -9 of the worker in mid-turn: another goes on; finished steps stay, streamed text ends clean', async (t) => {
  const { stack, tool } = await scripted(t);
  const [, first] = await Promise.all([stack.start('api'), stack.start('worker')]);
  const words = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');
  const task = await stack.submit(`step one\nstep two\nstream ${words}\nstep three`);
  await stack.until(task.id, (one) => (one.artifacts?.[0]?.parts[0]?.text ?? '').includes('word9'));
  await first.kill();
  await stack.start('worker');
  const done = await stack.until(task.id, isCompleted);
  assert.equal(done.artifacts?.length, 1);
  assert.equal(
    done.artifacts[0]?.parts
      .map((part) => part.text)
      .join('')
      .trim(),
    words,
  );
  const ran = tool.received.map((one) => one.body.split('/').at(-2));
  // On a busy machine the last one may have been under way at the kill: then it ran once more.
  const expected = ['one', 'two', 'three', 'three'].slice(0, ran.length === 4 ? 4 : 3);
  assert.deepEqual(ran, expected, 'each finished step ran once');
});

test('kill -9 under load: steps in flight run once more, under their key, within the lease and five seconds', async (t) => {
  const { stack, tool } = await scripted(t);
  const [, first] = await Promise.all([
    stack.start('api'),
    stack.start('worker', { WORKER_NAME: 'first' }),
    stack.start('worker', { WORKER_NAME: 'second' }),
  ]);
  await untilBothPull(stack);
  const plans = Array.from({ length: 30 }, () => 'step one\nstep slow 3000\nsay done');
  const tasks = await Promise.all(plans.map((plan) => stack.submit(plan)));
  let finished: string[] = [];
  await until(async () => {
    const { rows } = await stack.pool.query<{ task_id: string }>(
      `select task_id from gates join steps using (task_id)
       where worker = 'first' and state_class = 0 and name = 'one' and output is not null`,
    );
    finished = rows.map((row) => row.task_id);
    return finished.length >= 3;
  });
  const recovery = watchRecovery(stack.pool, 'first', 'SIGKILL', first.running.exited);
  await recovery.counted;
  await first.kill();
  const gaps = (await recovery.done).map(({ ms }) => ms);
  t.diagnostic(`${gaps.length} turns, ${Math.max(...gaps)} ms without a worker at most`);
  assert.ok(gaps.length > 0, 'no turn was taken over');
  assert.ok(Math.max(...gaps) < 3_000 + 5_000, `${Math.max(...gaps)} ms without a worker`);
  for (const { id } of tasks) await stack.until(id, isCompleted);
  for (const [key, runs] of Map.groupBy(tool.received, ({ body }) => body)) {
    const most = finished.some((taskId) => key.startsWith(`${taskId}/1/one/`)) ? 1 : 2;
    assert.ok(runs.length <= most, `${key} ran ${runs.length} times`);
  }
});

test('kill -9 with Gemini: finished turns of the model are not asked for again', async (t) => {
  const stack = await startStack(t);
  const [, first] = await Promise.all([stack.start('api'), stack.start('worker')]);
  stack.model.script([
    {
      match: 'slowly',
      reactions: [
        { chunks: Array.from({ length: 1000 }, (_, index) => `part${index} `), chunkDelayMs: 60 },
        { chunks: ['all ', 'of ', 'it'] },
      ],
    },
  ]);
  const task = await stack.submit('answer slowly');
  await stack.until(task.id, (one) => (one.artifacts?.[0]?.parts[0]?.text ?? '').includes('part3'));
  await first.kill();
  await stack.start('worker');
  const done = await stack.until(task.id, isCompleted);
  assert.deepEqual(
    done.artifacts?.map((artifact) => artifact.parts.map((part) => part.text).join('')),
    ['all of it'],
  );
  assert.equal(stack.model.log().length, 2, 'the call in flight was made once more');
});

test('a worker that is paused and comes back writes nothing', async (t) => {
  const { stack, tool } = await scripted(t);
  const [, zombie] = await Promise.all([stack.start('api'), stack.start('worker')]);
  // The tool answers the zombie when it is back.
  const back = Promise.withResolvers<number>();
  tool.answerBy(() => (tool.received.length === 1 ? back.promise : 200));
  const task = await stack.submit('progress begun\nstep held\nsay who');
  await tool.count(1);
  zombie.running.child.kill('SIGSTOP');
  await stack.start('worker');
  await stack.until(task.id, isCompleted);
  const { rows: before } = await stack.pool.query(`select count(*)::int as events from events`);
  back.resolve(200);
  zombie.running.child.kill('SIGCONT');
  await zombie.running.line(/turn lost/);
  const { rows: after } = await stack.pool.query(`select count(*)::int as events from events`);
  assert.deepEqual(after, before);
});

test('SIGTERM under load: the worker gives its turns back, and others go on within two seconds', async (t) => {
  // A lease of a minute: nothing but the hand-back can let another go on.
  const { stack, tool } = await scripted(t, { LEASE_SECONDS: '60', DRAIN_SECONDS: '6' });
  const [, first] = await Promise.all([
    stack.start('api'),
    stack.start('worker', { WORKER_NAME: 'first' }),
    stack.start('worker', { WORKER_NAME: 'second' }),
  ]);
  await untilBothPull(stack);
  const short = Array.from({ length: 8 }, (_, index) => `step short${index} 400`).join('\n');
  const plans = [...Array.from({ length: 40 }, () => short), ...Array.from({ length: 6 }, () => 'step long')];
  // A long step does not end before the worker has. One agent does not heed its signal.
  const ended = Promise.withResolvers<number>();
  tool.answerBy(({ body }) => (body.includes('/long/') ? ended.promise : 200));
  const tasks = await Promise.all([...plans, 'deaf 5000'].map((plan) => stack.submit(plan)));
  await untilHeld(stack, 'first', 14);
  const recovery = watchRecovery(stack.pool, 'first', 'SIGTERM', undefined);
  await recovery.counted;
  first.running.child.kill('SIGTERM');
  assert.equal((await first.running.exited).code, 0);
  ended.resolve(200);
  const gaps = (await recovery.done).map(({ ms }) => ms).sort((a, b) => a - b);
  const [median = NaN, most = NaN] = [gaps[Math.floor(gaps.length / 2)], gaps.at(-1)];
  t.diagnostic(`${gaps.length} turns, ${median} ms without a worker, ${most} at most`);
  assert.ok(gaps.length >= 10, `${gaps.length} turns were given back`);
  // A turn whose wakeup is not rung at the hand-back takes more than a second: half of them tell.
  assert.ok(median < 500 && most < 2_000, `${gaps.join(', ')} ms without a worker`);
  for (const { id } of tasks) await stack.until(id, isCompleted);
  const repeated = tool.received.length - new Set(tool.received.map(({ body }) => body)).size;
  assert.ok(repeated <= 6, `${repeated} steps ran again: more than those that were cut`);
  const { rows } = await stack.pool.query(`select max(attempts) as attempts from gates`);
  assert.equal(rows[0].attempts, 0);
});

test('the database restarts: requests fail clearly or wait, nothing accepted is lost, all come back', async (t) => {
  const { stack } = await scripted(t);
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const ids: string[] = [];
  for (let index = 0; index < 20; index++) {
    if (index === 10) {
      // Every connection is cut, as by a failover.
      await stack.pool.query(
        `select pg_terminate_backend(pid, 10000) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()`,
      );
    }
    const parts = [{ text: `step s 50\nsay ${index}` }];
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts };
    const params = { message, configuration: { returnImmediately: true } };
    // As one that does not come again when it is told to.
    const response = await fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'SendMessage', params }),
    }).catch(() => undefined);
    if (response?.status === 200) {
      ids.push(((await response.json()) as { result: { task: { id: string } } }).result.task.id);
    }
  }
  assert.ok(ids.length >= 18, `${ids.length} of 20 accepted`);
  for (const id of ids) await stack.until(id, isCompleted);
});

test('Gemini says 429: the task is parked, spends no attempt, and ends well', async (t) => {
  const stack = await startStack(t);
  await Promise.all([stack.start('api'), stack.start('worker')]);
  stack.model.script([
    {
      match: 'busy',
      reactions: [{ status: 429, retryDelay: '6s' }, { chunks: ['done'] }],
    },
  ]);
  const task = await stack.submit('are you busy');
  await until(async () => {
    const { rows } = await stack.pool.query(
      `select attempts, lease_until, run_at > now() as parked from gates where task_id = $1`,
      [task.id],
    );
    return rows[0].parked && rows[0].lease_until === null && rows[0].attempts === 0;
  });
  await stack.until(task.id, isCompleted);
});

test('Gemini says 400: the task fails with a message that says why', async (t) => {
  const stack = await startStack(t);
  await Promise.all([stack.start('api'), stack.start('worker')]);
  stack.model.script([{ match: 'bad', reactions: [{ status: 400 }] }]);
  const task = await stack.submit('bad request');
  const failed = await stack.until(task.id, (one) => one.status.state === 'TASK_STATE_FAILED');
  assert.ok(failed.status.message.parts[0].text.length > 20);
});

test('a task that kills its worker each time fails with the cause, and its webhook is sent', async (t) => {
  const { stack } = await scripted(t, { MAX_ATTEMPTS: '2', LEASE_SECONDS: '1' });
  const receiver = await startReceiver(t);
  await Promise.all([stack.start('api'), stack.start('dispatcher')]);
  const task = await stack.submit('die', {
    configuration: { taskPushNotificationConfig: { url: receiver.url } },
  });
  for (let death = 0; death < 2; death++) await (await stack.start('worker')).running.exited;
  await stack.start('worker');
  const failed = await stack.until(task.id, (one) => one.status.state === 'TASK_STATE_FAILED');
  assert.match(failed.status.message.parts[0].text, /after 2 attempts/);
  const received = await receiver.count(3);
  assert.match(received[2]!.body, /TASK_STATE_FAILED/);
});

test('an agent that throws is tried again with backoff, then fails with the cause', async (t) => {
  const { stack, tool } = await scripted(t, { MAX_ATTEMPTS: '2' });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const task = await stack.submit('step one\nthrow no such luck');
  const failed = await stack.until(task.id, (one) => one.status.state === 'TASK_STATE_FAILED');
  assert.match(failed.status.message.parts[0].text, /no such luck/);
  assert.equal(tool.received.length, 1, 'the finished step did not run again');
});

test('a webhook receiver that is down gets the event when it is back; the order stays', async (t) => {
  const { stack } = await scripted(t, { WEBHOOK_SCHEDULE_SECONDS: '0,0.3,0.3,0.3,0.3' });
  const receiver = await startReceiver(t);
  receiver.answer(500, 0, 200);
  await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  const task = await stack.submit('say hello', {
    configuration: { taskPushNotificationConfig: { url: receiver.url } },
  });
  const received = await receiver.count(5);
  const ids = received.map((one) => one.headers['webhook-id']);
  assert.deepEqual([ids[0], ids[0], ids[0]], ids.slice(0, 3), 'the first event, three times under one id');
  assert.equal(new Set(ids).size, 3);
  assert.match(received[4]!.body, /hello/);
  const { rows } = await stack.pool.query(
    `select attempt, status from delivery_attempts where task_id = $1 and seq = 1 order by attempt`,
    [task.id],
  );
  assert.deepEqual(
    rows.map((row) => row.status),
    [500, null, 200],
  );
});

// [STREAM-ORDER-004]
test('a client that leaves a stream stops nothing, and can come back', async (t) => {
  const { stack } = await scripted(t);
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const leaving = new AbortController();
  const response = await fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'SendStreamingMessage',
      params: {
        message: {
          messageId: randomUUID(),
          role: 'ROLE_USER',
          parts: [{ text: 'progress one\nwait 700\nsay end' }],
        },
      },
    }),
    signal: leaving.signal,
  });
  const [first] = await sseEvents(response, 1);
  const id: string = first.result.task.id;
  leaving.abort();
  const done = await stack.until(id, isCompleted);
  assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'end');
});

async function publish(stack: Stack, taskId: string, turn: number): Promise<void> {
  const { PubSub } = await import('@google-cloud/pubsub');
  const { PassThroughClient } = await import('google-auth-library');
  process.env['PUBSUB_EMULATOR_HOST'] = stack.env['PUBSUB_EMULATOR_HOST'];
  const client = new PubSub({
    projectId: stack.env['GOOGLE_CLOUD_PROJECT']!,
    authClient: new PassThroughClient(),
  });
  await client.topic('longhaul-turns').publishMessage({ json: { taskId, turn } });
  await client.close();
}

/** Until the outbox is empty: every wakeup was taken by Pub/Sub. */
async function untilPublished(stack: Stack): Promise<void> {
  await until(async () => (await stack.pool.query(`select from outbox`)).rows.length === 0);
}

/** Until both workers have had a task: one that is ready may not pull yet, and the other would take all there is. */
async function untilBothPull(stack: Stack): Promise<void> {
  await until(async () => {
    await stack.submit('wait 200');
    const { rows } = await stack.pool.query(`select distinct worker from gates where lease_until > now()`);
    return rows.length === 2;
  });
}

/** Until a worker has so many turns. */
async function untilHeld(stack: Stack, worker: string, count: number): Promise<void> {
  await until(async () => {
    const { rows } = await stack.pool.query(`select from gates where worker = $1 and lease_until > now()`, [
      worker,
    ]);
    return rows.length >= count;
  });
}

async function until(condition: () => Promise<boolean>, boundMs = 30_000): Promise<void> {
  const deadline = performance.now() + boundMs;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `not so within ${boundMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// oxlint-disable-next-line typescript/no-explicit-any -- events are looked at field by field, as a client would
async function sseEvents(response: Response, wanted: number): Promise<any[]> {
  const events = [];
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = block.split('\n').find((line) => line.startsWith('data: '));
      if (data !== undefined) events.push(JSON.parse(data.slice(6)));
      if (events.length === wanted) return events;
    }
  }
  return events;
}
