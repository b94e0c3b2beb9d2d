/** Tasks that run for hours, at a small scale: push mode, start times, deadlines, time limits, retention, changed code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test, type TestContext } from 'node:test';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { freePort } from '../../support/network/ports.ts';
import { createPubSubClient } from '../../support/pubsub/client.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import { isCompleted, type Stack, type TaskJson } from '../../support/stack.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver, type Receiver } from '../../support/webhooks/receiver.ts';

const schedule = 'https://longhaul.dev/ext/schedule/v1';

const isFailed = ({ status }: TaskJson): boolean => status.state === 'TASK_STATE_FAILED';

test('a task of many requests runs each step once in push mode', async (t) => {
  const { stack, tool } = await startScriptedStack(t, {
    WORKER_MODE: 'push',
    CALLER_AUTH: 'none',
    PUSH_DEADLINE_SECONDS: '3',
    WORKER_CONCURRENCY: '2',
    WORKER_OWNER_SHARE: '1',
  });
  const port = await freePort();
  const pubsub = createPubSubClient(t, stack);
  await pubsub.topic('longhaul-turns').createSubscription('pushed', {
    pushConfig: { pushEndpoint: `http://127.0.0.1:${port}/turns` },
    ackDeadlineSeconds: 10,
  });
  await Promise.all([stack.start('api'), stack.start('worker', { PORT: String(port) })]);
  const steps = Array.from({ length: 50 }, (_, index) => `step part${index} 100`).join('\n');
  const tasks = await Promise.all([1, 2, 3].map(() => stack.submit(`${steps}\nsay done`)));
  for (const { id } of tasks) await stack.until(id, isCompleted, 150_000);
  const keys = tool.received.map(({ body }) => body);
  assert.equal(new Set(keys).size, 150);
  const { rows } = await stack.pool.query(
    `select min(fence) as fence, sum(fence)::int / 2 as requests, sum(attempts)::int as attempts from gates`,
  );
  const { fence, requests, attempts } = rows[0];
  // After the last moment at which a step may start, a request has four times the duration of a step left. On a busy
  // machine the hard end of a request may still abort some steps, which then run once more.
  assert.ok(
    keys.length <= 150 + (requests - 3) / 2,
    `${keys.length} runs of 150 steps in ${requests} requests`,
  );
  assert.ok(fence >= 4, 'each task took several requests'); // a claim and an end each raise the fence
  assert.equal(attempts, 0);
});

describe('the schedule of a task', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let tool: Receiver;
  before(async () => {
    ({ stack, tool } = await startScriptedStack(cleanup));
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  });

  test('starts it at its start time', async () => {
    const startAt = new Date(Date.now() + 2_000);
    const task = await stack.submit('step later\nsay done', { metadata: { [schedule]: { startAt } } });
    await stack.until(task.id, isCompleted);
    assert.equal(tool.received.length, 1);
    assert.ok(Date.now() >= startAt.getTime());
  });

  test('fails it at its deadline, and its webhook is sent', async (t) => {
    const receiver = await startReceiver(t);
    const task = await stack.submit('wait 120000', {
      metadata: { [schedule]: { deadline: new Date(Date.now() + 2_500) } },
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    const failed = await stack.until(task.id, isFailed);
    const reason: string = failed.status.message.parts[0].text;
    assert.match(reason, /deadline/);
    await waitFor('the webhook', () => receiver.received.some(({ body }) => body.includes(reason)));
  });

  for (const invalid of [{ startAt: 'tomorrow' }, { deadline: '2001-01-01T00:00:00Z' }, { begin: 1 }, 7]) {
    test(`is refused as ${JSON.stringify(invalid)}`, async () => {
      const refused = stack.submit('x', { metadata: { [schedule]: invalid } });
      await assert.rejects(refused, /schedule|startAt|deadline/);
    });
  }
});

describe('the time limits of a definition', () => {
  /** Writes the agent definition of this project with other limits. */
  function writeDefinition(t: TestContext, limits: string): string {
    const definition = readFileSync('agent.yaml', 'utf8').replace('\nlimits:\n', `\nlimits:\n${limits}`);
    return writeTempFile(t, 'agent.yaml', definition);
  }

  test('fail a task with the name of the limit, and set a deadline for each task', async (t) => {
    const limits = '  stepSeconds: 1\n  turnSeconds: 3\n  taskSeconds: 3600\n';
    const { stack } = await startScriptedStack(t, {
      MAX_ATTEMPTS: '1',
      AGENT_FILE: writeDefinition(t, limits),
    });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const expected: [string, RegExp][] = [
      ['step slow 60000', /a step took longer than 1 s/],
      ['wait 60000', /limit of 3 seconds/],
      ['deaf 60000', /limit of 3 seconds/],
    ];
    const tasks = await Promise.all(expected.map(([text]) => stack.submit(text)));
    for (const [index, { id }] of tasks.entries()) {
      const failed = await stack.until(id, isFailed);
      assert.match(failed.status.message.parts[0].text, expected[index]![1]);
    }
    const { rows } = await stack.pool.query(
      `select extract(epoch from g.deadline_at - t.created_at)::int as seconds
       from gates g join tasks t on t.id = g.task_id`,
    );
    assert.equal(rows.length, expected.length);
    for (const { seconds } of rows) assert.ok(Math.abs(seconds - 3600) < 60, `${seconds} s to the deadline`);
  });

  test('count the time of a turn over all its workers', async (t) => {
    const { stack } = await startScriptedStack(t, {
      MAX_ATTEMPTS: '1',
      DRAIN_SECONDS: '1.5',
      AGENT_FILE: writeDefinition(t, '  turnSeconds: 600\n'),
    });
    const [, worker] = await Promise.all([stack.start('api'), stack.start('worker')]);
    const task = await stack.submit('step one\nprogress waits\nwait 60000');
    await stack.until(task.id, ({ status }) => status.message !== undefined);
    await worker.kill('SIGTERM');
    await stack.pool.query(`update steps set started_at = now() - interval '10 minutes'`);
    await stack.start('worker');
    const failed = await stack.until(task.id, isFailed);
    assert.match(failed.status.message.parts[0].text, /limit of 600 seconds/);
  });
});

describe('the age of a task', () => {
  test('fails it if it waits too long for its caller', async (t) => {
    const { stack } = await startScriptedStack(t, { INTERRUPTED_EXPIRY_DAYS: '0.001' });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const asking = await stack.submit('ask well?');
    await stack.until(asking.id, ({ status }) => status.state === 'TASK_STATE_INPUT_REQUIRED');
    await stack.pool.query(`update gates set settled_at = now() - interval '1 day' where task_id = $1`, [
      asking.id,
    ]);
    await stack.until(asking.id, isFailed);
  });

  test('removes it with all its rows after the retention', async (t) => {
    const { stack } = await startScriptedStack(t, { RETENTION_DAYS: '1', IDEMPOTENCY_WINDOW_SECONDS: '1' });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const [completed, failed] = await Promise.all([
      stack.submit('step one\nsay done'),
      stack.submit('fail no'),
    ]);
    await stack.until(completed.id, isCompleted);
    await stack.until(failed.id, isFailed);
    await stack.pool.query(`update gates set settled_at = now() - interval '2 days'`); // due one day ago
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
    await waitFor('all tables to be empty', async () => {
      const counts = await Promise.all(
        tables.map(async (table) => (await stack.pool.query(`select from ${table}`)).rowCount),
      );
      return counts.every((count) => count === 0);
    });
  });
});

test('a turn whose code has changed fails instead of running other steps', async (t) => {
  const { stack, tool } = await startScriptedStack(t);
  const [, first] = await Promise.all([stack.start('api'), stack.start('worker')]);
  const task = await stack.submit('step before\nstep slow 3000');
  await tool.count(2);
  await first.kill();
  await stack.pool.query(`update steps set name = 'renamed' where task_id = $1`, [task.id]);
  await stack.start('worker');
  const failed = await stack.until(task.id, isFailed);
  assert.match(failed.status.message.parts[0].text, /"before".*"renamed".*changed/);
});
