/** Tasks over hours, in small: push mode with checkpoints, start times, deadlines, retention, changed code. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { PubSub } from '@google-cloud/pubsub';
import { PassThroughClient } from 'google-auth-library';
import { freePort } from '../support/ports.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';
import { isCompleted, startStack } from '../support/stack.ts';

const schedule = 'https://longhaul.dev/ext/schedule/v1';

async function scripted(t: TestContext, extra: Record<string, string> = {}) {
  const tool = await startReceiver(t);
  const stack = await startStack(t, {
    AGENT_MODULE: path.resolve('test/support/agents/scripted.ts'),
    TEST_LOG_URL: tool.url,
    ...extra,
  });
  return { stack, tool };
}

test('push mode: a task of many seconds runs on requests of three, each step once', async (t) => {
  const { stack, tool } = await scripted(t, {
    WORKER_MODE: 'push',
    CALLER_AUTH: 'none',
    PUSH_DEADLINE_SECONDS: '3',
    WORKER_CONCURRENCY: '2',
  });
  const port = await freePort();
  process.env['PUBSUB_EMULATOR_HOST'] = stack.env['PUBSUB_EMULATOR_HOST'];
  const pubsub = new PubSub({
    projectId: stack.env['GOOGLE_CLOUD_PROJECT']!,
    authClient: new PassThroughClient(),
  });
  t.after(() => pubsub.close());
  await pubsub.topic('longhaul-turns').createSubscription('pushed', {
    pushConfig: { pushEndpoint: `http://127.0.0.1:${port}/turns` },
    ackDeadlineSeconds: 10,
  });
  await Promise.all([stack.start('api'), stack.start('worker', { PORT: String(port) })]);
  const steps = Array.from({ length: 50 }, (_, index) => `step part${index} 100`).join('\n');
  const tasks = await Promise.all([1, 2, 3].map(() => stack.submit(`${steps}\nsay done`)));
  for (const { id } of tasks) await stack.until(id, isCompleted);
  const keys = tool.received.map((one) => one.body);
  assert.equal(new Set(keys).size, 150);
  const { rows } = await stack.pool.query(
    `select min(fence) as raised, sum(fence)::int / 2 as requests, sum(attempts) as attempts from gates`,
  );
  // From the last moment at which a step begins, it has more than four times what it takes: on a busy machine some may
  // still be cut at the hard end of a request, and run once more.
  const { raised, requests } = rows[0];
  assert.ok(
    keys.length <= 150 + (requests - 3) / 2,
    `${keys.length} runs of 150 steps in ${requests} requests`,
  );
  assert.ok(raised >= 4, 'each task took several requests'); // a claim raises the fence, and so does its end
  assert.equal(Number(rows[0].attempts), 0);
});

test('a task with a start time runs at that time, and one past its deadline fails with the reason', async (t) => {
  const { stack, tool } = await scripted(t);
  const receiver = await startReceiver(t);
  await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  const startAt = new Date(Date.now() + 2_000);
  const later = await stack.submit('step later\nsay done', { metadata: { [schedule]: { startAt } } });
  const late = await stack.submit('wait 120000', {
    metadata: { [schedule]: { deadline: new Date(Date.now() + 2_500) } },
    configuration: { taskPushNotificationConfig: { url: receiver.url } },
  });
  const failed = await stack.until(late.id, (task) => task.status.state === 'TASK_STATE_FAILED');
  assert.match(failed.status.message.parts[0].text, /deadline/);
  // On a busy machine it may not have begun by then, and so has an event less.
  const isTold = (): boolean => receiver.received.some(({ body }) => /missed its deadline/.test(body));
  while (!isTold()) await receiver.count(receiver.received.length + 1);
  await stack.until(later.id, isCompleted);
  assert.equal(tool.received.length, 1);
  assert.ok(Date.now() >= startAt.getTime());
  for (const wrong of [{ startAt: 'tomorrow' }, { deadline: '2001-01-01T00:00:00Z' }, { begin: 1 }, 7]) {
    await assert.rejects(stack.submit('x', { metadata: { [schedule]: wrong } }), /schedule|startAt|deadline/);
  }
});

test('limits of the definition: a step or a turn that takes too long fails with the reason; a task gets its deadline', async (t) => {
  const limited = (name: string, limits: string): string => {
    const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'longhaul-limits-')), name);
    t.after(() => rmSync(path.dirname(file), { recursive: true }));
    writeFileSync(file, readFileSync('agent.yaml', 'utf8').replace('\nlimits:\n', `\nlimits:\n${limits}`));
    return file;
  };
  const short = limited('short.yaml', '  stepSeconds: 1\n  turnSeconds: 3\n  taskSeconds: 3600\n');
  const { stack } = await scripted(t, { MAX_ATTEMPTS: '1', DRAIN_SECONDS: '1.5' });
  const [api, worker] = await Promise.all([stack.start('api', { AGENT_FILE: short }), stack.start('worker')]);
  const expected: [string, RegExp][] = [
    ['step slow 60000', /a step took longer than 1 s/],
    ['wait 60000', /limit of 3 seconds/],
    ['deaf 60000', /limit of 3 seconds/],
  ];
  const tasks = await Promise.all(expected.map(([text]) => stack.submit(text)));
  for (const [index, { id }] of tasks.entries()) {
    const failed = await stack.until(id, (task) => task.status.state === 'TASK_STATE_FAILED');
    assert.match(failed.status.message.parts[0].text, expected[index]![1]);
  }
  const { rows } = await stack.pool.query(
    `select extract(epoch from g.deadline_at - t.created_at)::int as seconds
     from gates g join tasks t on t.id = g.task_id`,
  );
  for (const { seconds } of rows) assert.ok(Math.abs(seconds - 3600) < 60, `${seconds} s to the deadline`);
  // A turn's time runs on from one worker to the next.
  await api.kill('SIGTERM');
  await stack.start('api', { AGENT_FILE: limited('long.yaml', '  turnSeconds: 600\n') });
  const handed = await stack.submit('step one\nprogress waits\nwait 60000');
  await stack.until(handed.id, (task) => task.status.message !== undefined);
  await worker.kill('SIGTERM');
  await stack.pool.query(`update steps set started_at = now() - interval '10 minutes'`);
  await stack.start('worker');
  const failed = await stack.until(handed.id, (task) => task.status.state === 'TASK_STATE_FAILED');
  assert.match(failed.status.message.parts[0].text, /limit of 600 seconds/);
});

test('a task that waits for its caller for too long fails; old tasks are removed with all that is theirs', async (t) => {
  const { stack } = await scripted(t, {
    INTERRUPTED_EXPIRY_DAYS: '0.001',
    RETENTION_DAYS: '1',
    IDEMPOTENCY_WINDOW_SECONDS: '1',
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const asked = await stack.submit('ask well?');
  await stack.until(asked.id, (task) => task.status.state === 'TASK_STATE_INPUT_REQUIRED');
  await stack.pool.query(`update gates set settled_at = now() - interval '1 day' where task_id = $1`, [
    asked.id,
  ]);
  await stack.until(asked.id, (task) => task.status.state === 'TASK_STATE_FAILED');
  const tables = [
    'gates',
    'tasks',
    'messages',
    'events',
    'artifacts',
    'steps',
    'sends',
    'outbox',
    'deliveries',
  ];
  const done = await stack.submit('step one\nsay done');
  await stack.until(done.id, isCompleted);
  await stack.pool.query(`update gates set settled_at = now() - interval '2 days'`); // a day after they are to go
  const deadline = performance.now() + 60_000;
  for (;;) {
    const counts = await Promise.all(
      tables.map(async (table) => (await stack.pool.query(`select from ${table}`)).rowCount),
    );
    if (counts.every((count) => count === 0)) break;
    assert.ok(performance.now() < deadline, `still there: ${counts.join()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

test('code that changed under a turn is told so, instead of running steps in another order', async (t) => {
  const { stack, tool } = await scripted(t);
  const [, first] = await Promise.all([stack.start('api'), stack.start('worker')]);
  const task = await stack.submit('step before\nstep slow 3000');
  await tool.count(2);
  await first.kill();
  await stack.pool.query(`update steps set name = 'renamed' where task_id = $1`, [task.id]);
  await stack.start('worker');
  const failed = await stack.until(task.id, (one) => one.status.state === 'TASK_STATE_FAILED');
  assert.match(failed.status.message.parts[0].text, /"before".*"renamed".*changed/);
});
