/**
 * Failures of workers: real processes that are killed, paused or stopped in the middle of turns. Each test names its row
 * of the failure table in ARCHITECTURE.md.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { getStepRuns, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { isCompleted, startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { watchRecovery } from '../../tools/chaos/recovery.ts';

// Row: a worker is killed in mid-turn
describe('a worker that is killed', () => {
  test('is replaced by a worker that continues after the last finished step', async (t) => {
    const { stack, tool } = await startScriptedStack(t);
    const [, first] = await Promise.all([stack.start('api'), stack.start('worker')]);
    const words = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');
    const task = await stack.submit(`step one\nstep two\nstream ${words}\nstep three`);
    await stack.until(task.id, ({ artifacts }) => (artifacts?.[0]?.parts[0]?.text ?? '').includes('word9'));
    await first.kill();
    await stack.start('worker');
    const done = await stack.until(task.id, isCompleted);
    assert.equal(done.artifacts?.length, 1);
    const text = done.artifacts[0]?.parts.map((part) => part.text).join('');
    assert.equal(text?.trim(), words, 'streamed text is stored once');
    const runs = getStepRuns(tool, task.id);
    // On a busy machine step three may have been in flight at the kill: then it ran once more.
    const expected = ['1/one/0', '1/two/0', '1/three/0', '1/three/0'].slice(0, runs.length === 4 ? 4 : 3);
    assert.deepEqual(runs, expected, 'each finished step ran once');
  });

  test('is replaced within the lease and five seconds under load', async (t) => {
    const { stack, tool } = await startScriptedStack(t);
    const first = await startTwoWorkers(stack);
    const plans = Array.from({ length: 30 }, () => 'step one\nstep slow 3000\nsay done');
    const tasks = await Promise.all(plans.map((plan) => stack.submit(plan)));
    const finished = await waitFor('three finished steps of the first worker', async () => {
      const { rows } = await stack.pool.query<{ task_id: string }>(
        `select task_id from gates join steps using (task_id)
         where worker = 'first' and state_class = 0 and name = 'one' and output is not null`,
      );
      return rows.length >= 3 && rows.map((row) => row.task_id);
    });
    const recovery = watchRecovery(stack.pool, 'first', 'SIGKILL', first.running.exited);
    await recovery.counted;
    await first.kill();
    const gaps = (await recovery.done).map(({ ms }) => ms);
    t.diagnostic(`${gaps.length} turns, at most ${Math.max(...gaps)} ms without a worker`);
    assert.ok(gaps.length > 0, 'no turn was taken over');
    assert.ok(Math.max(...gaps) < 3_000 + 5_000, `${Math.max(...gaps)} ms without a worker`);
    for (const { id } of tasks) await stack.until(id, isCompleted);
    // Steps in flight run once more under the same key, finished ones never again.
    for (const [key, runs] of Map.groupBy(tool.received, ({ body }) => body)) {
      const most = finished.some((taskId) => key.startsWith(`${taskId}/1/one/`)) ? 1 : 2;
      assert.ok(runs.length <= most, `${key} ran ${runs.length} times`);
    }
  });

  test('is replaced by a worker that repeats only the Gemini call in flight', async (t) => {
    const stack = await startStack(t);
    const [, first] = await Promise.all([stack.start('api'), stack.start('worker')]);
    const chunks = Array.from({ length: 1000 }, (_, index) => `part${index} `);
    stack.model.script([
      { match: 'slowly', reactions: [{ chunks, chunkDelayMs: 60 }, { chunks: ['all ', 'of ', 'it'] }] },
    ]);
    const task = await stack.submit('answer slowly');
    await stack.until(task.id, ({ artifacts }) => (artifacts?.[0]?.parts[0]?.text ?? '').includes('part3'));
    await first.kill();
    await stack.start('worker');
    const done = await stack.until(task.id, isCompleted);
    assert.deepEqual(
      done.artifacts?.map(({ parts }) => parts.map((part) => part.text).join('')),
      ['all of it'],
    );
    assert.equal(stack.model.log().length, 2, 'the call in flight was made once more');
  });
});

// Row: a worker is paused and comes back
test('a worker that resumes after a pause writes nothing', async (t) => {
  const { stack, tool } = await startScriptedStack(t);
  const [, zombie] = await Promise.all([stack.start('api'), stack.start('worker')]);
  // The tool answers the zombie once it has resumed.
  const toolAnswer = Promise.withResolvers<number>();
  tool.answerBy(() => (tool.received.length === 1 ? toolAnswer.promise : 200));
  const task = await stack.submit('progress started\nstep held\nsay who');
  await tool.count(1);
  zombie.running.child.kill('SIGSTOP');
  await stack.start('worker');
  await stack.until(task.id, isCompleted);
  const { rows: before } = await stack.pool.query(`select count(*)::int as events from events`);
  toolAnswer.resolve(200);
  zombie.running.child.kill('SIGCONT');
  await zombie.running.line(/turn lost/);
  const { rows: after } = await stack.pool.query(`select count(*)::int as events from events`);
  assert.deepEqual(after, before);
});

// Row: a worker gets SIGTERM
test('a worker that stops under load releases its turns within two seconds', async (t) => {
  // With leases of a minute, only a release lets another worker continue.
  const { stack, tool } = await startScriptedStack(t, { LEASE_SECONDS: '60', DRAIN_SECONDS: '6' });
  const first = await startTwoWorkers(stack);
  const short = Array.from({ length: 8 }, (_, index) => `step short${index} 400`).join('\n');
  const plans = [...Array.from({ length: 40 }, () => short), ...Array.from({ length: 6 }, () => 'step long')];
  // Long steps outlast the worker. One agent ignores its signal.
  const stopped = Promise.withResolvers<number>();
  tool.answerBy(({ body }) => (body.includes('/long/') ? stopped.promise : 200));
  const tasks = await Promise.all([...plans, 'deaf 5000'].map((plan) => stack.submit(plan)));
  await waitFor('14 turns of the first worker', async () => {
    const { rows } = await stack.pool.query(
      `select from gates where worker = 'first' and lease_until > now()`,
    );
    return rows.length >= 14;
  });
  const recovery = watchRecovery(stack.pool, 'first', 'SIGTERM', undefined);
  await recovery.counted;
  first.running.child.kill('SIGTERM');
  assert.equal((await first.running.exited).code, 0);
  stopped.resolve(200);
  const gaps = (await recovery.done).map(({ ms }) => ms).sort((a, b) => a - b);
  const [median = NaN, longest = NaN] = [gaps[Math.floor(gaps.length / 2)], gaps.at(-1)];
  t.diagnostic(`${gaps.length} turns without a worker for ${median} ms, at most ${longest} ms`);
  assert.ok(gaps.length >= 10, `${gaps.length} turns were released`);
  // A turn whose wake-up is not published at the release takes more than a second; the median excludes outliers.
  assert.ok(median < 500 && longest < 2_000, `${gaps.join(', ')} ms without a worker`);
  for (const { id } of tasks) await stack.until(id, isCompleted);
  const repeated = tool.received.length - new Set(tool.received.map(({ body }) => body)).size;
  assert.ok(repeated <= 6, `${repeated} steps ran again: more than the aborted ones`);
  const { rows } = await stack.pool.query(`select max(attempts) as attempts from gates`);
  assert.equal(rows[0].attempts, 0);
});

describe('a task', () => {
  // Row: a task kills its worker each time
  test('fails and sends its webhook when it kills its worker each time', async (t) => {
    const { stack } = await startScriptedStack(t, { MAX_ATTEMPTS: '2', LEASE_SECONDS: '60' });
    const receiver = await startReceiver(t);
    await Promise.all([stack.start('api'), stack.start('dispatcher')]);
    const task = await stack.submit('die', {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    for (let death = 0; death < 2; death++) {
      const worker = await stack.start('worker');
      await worker.running.exited;
      await stack.endLeases('worker');
    }
    await stack.start('worker');
    const failed = await stack.until(task.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
    assert.match(failed.status.message.parts[0].text, /after 2 attempts/);
    const received = await receiver.count(3);
    assert.match(received[2]!.body, /TASK_STATE_FAILED/);
  });

  // Row: a partner of the agent fails for minutes
  test('waits without a slot while its agent throws, and fails after an hour', async (t) => {
    const { stack, tool } = await startScriptedStack(t, { MAX_ATTEMPTS: '2' });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const task = await stack.submit('step one\nthrow no such luck');
    const waiting = await stack.until(task.id, ({ status }) => status.message !== undefined);
    assert.match(waiting.status.message.parts[0].text, /^Waiting since 20.*: no such luck$/);
    await waitFor('the turn to be released after its third failure', async () => {
      const { rows } = await stack.pool.query(
        `select failures, attempts, lease_until from gates where task_id = $1`,
        [task.id],
      );
      const [{ failures, attempts, lease_until: leasedUntil }] = rows;
      return failures >= 3 && attempts === 0 && leasedUntil === null;
    });
    assert.equal(tool.received.length, 1, 'the finished step did not run again');
    await stack.pool.query(
      `update gates set failing_since = now() - interval '1 hour', run_at = now(), wakeup_at = now()`,
    );
    const failed = await stack.until(task.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
    assert.match(failed.status.message.parts[0].text, /^Failed after \d+ attempts. Last error: no such luck/);
  });

  test('fails with the cause when its agent throws at each attempt and may not wait', async (t) => {
    const AGENT_FILE = writeAgentFile(t, { limits: { outageSeconds: 0 } });
    const { stack, tool } = await startScriptedStack(t, { MAX_ATTEMPTS: '2', AGENT_FILE });
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const task = await stack.submit('step one\nthrow no such luck');
    const failed = await stack.until(task.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
    assert.match(failed.status.message.parts[0].text, /no such luck/);
    assert.equal(tool.received.length, 1, 'the finished step did not run again');
  });
});

/**
 * Starts the api and two workers, and returns the first. Resolves when both have claimed a task: one that is ready may
 * not pull yet, and the other would then claim every task.
 */
async function startTwoWorkers(stack: Stack) {
  const [, first] = await Promise.all([
    stack.start('api'),
    stack.start('worker', { WORKER_NAME: 'first' }),
    stack.start('worker', { WORKER_NAME: 'second' }),
  ]);
  await waitFor('a turn on both workers', async () => {
    await stack.submit('wait 200');
    const { rows } = await stack.pool.query(`select distinct worker from gates where lease_until > now()`);
    return rows.length === 2;
  });
  return first;
}
