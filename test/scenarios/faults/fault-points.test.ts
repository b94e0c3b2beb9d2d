/**
 * A process dies exactly between two actions that belong together. Each named fault point (shared/runtime/fault-points.ts)
 * has a test, whose title lists the invariants that it checks.
 *
 * Leases are long, and a test ends them once the process is dead. No lease expires on a slow machine, so step runs and
 * webhooks can be counted.
 */
import assert from 'node:assert/strict';
import { before, describe, test, type TestContext } from 'node:test';
import { faultPointNames, type FaultPointName } from '#shared/runtime/fault-points.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { getStepRuns, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { isCompleted, type ServiceKind, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver, type Receiver } from '../../support/webhooks/receiver.ts';

const settings = {
  LEASE_SECONDS: '60',
  WEBHOOK_TIMEOUT_SECONDS: '30',
  WEBHOOK_LEASE_MARGIN_SECONDS: '30',
  WEBHOOK_SCHEDULE_SECONDS: '0,0.2,0.2,0.2',
};

// The tests of durable waits and of batches kill their workers at these.
const pinned = new Set<FaultPointName>(['call-sent', 'batch-created']);

/** Registers the test of a process that dies at a fault point. */
function testDeath(
  point: FaultPointName,
  title: string,
  run: (t: TestContext, point: FaultPointName) => Promise<void>,
): void {
  pinned.add(point);
  test(`that dies at ${point} ${title}`, (t) => run(t, point));
}

const withWebhook = (url: string) => ({ configuration: { taskPushNotificationConfig: { url } } });

/** Starts a service that dies the n-th time it passes a fault point. `died` ends the leases of the dead process. */
async function startDoomed(
  stack: Stack,
  kind: ServiceKind,
  point: FaultPointName,
  passage = 1,
  env: Record<string, string> = {},
) {
  const running = await stack.launch(kind, { ...env, FAULT_POINT: `${point}:${passage}` });
  // It may die before that, because of what an earlier process has left.
  await running.line(/"message":"ready"/).catch(() => undefined);
  return {
    died: async () => {
      assert.equal((await running.exited).signal, 'SIGKILL', running.output());
      if (kind !== 'api') await stack.endLeases(kind);
    },
  };
}

describe('fault points', { concurrency: 2, timeout: 180_000 }, () => {
  describe('the api', () => {
    testDeath('message-stored', 'has accepted the message (1, 2)', async (t, point) => {
      const { stack } = await startScriptedStack(t, settings);
      const message = { messageId: 'm1', role: 'ROLE_USER', parts: [{ text: 'say hello' }] };
      const params = { message, configuration: { returnImmediately: true } };
      const api = await startDoomed(stack, 'api', point);
      await assert.rejects(stack.rpc('SendMessage', params));
      await api.died();
      await Promise.all([stack.start('api'), stack.start('worker')]);
      const { result } = await stack.rpc('SendMessage', params);
      await stack.until(result.task.id, isCompleted);
      const { rows } = await stack.pool.query(`select count(*)::int as tasks from tasks`);
      assert.equal(rows[0].tasks, 1, 'the client that retries gets the task of its first attempt');
    });
  });

  describe('a worker', { concurrency: 1 }, () => {
    const cleanup = createSuiteCleanup();
    let stack: Stack;
    let tool: Receiver;
    let receiver: Receiver;
    before(async () => {
      receiver = await startReceiver(cleanup);
      ({ stack, tool } = await startScriptedStack(cleanup, settings));
      await stack.start('api');
    });

    /** Submits a task to a worker that dies at a fault point, and replaces the dead worker until the test ends. */
    async function submitDoomed(t: TestContext, text: string, point: FaultPointName, passage = 1) {
      const worker = await startDoomed(stack, 'worker', point, passage);
      const { id } = await stack.submit(text);
      await worker.died();
      const successor = await stack.start('worker');
      t.after(() => successor.kill());
      return id;
    }

    const threeSteps = 'step a\nstep b\nstep c';

    testDeath('turn-claimed', 'loses its turn to another (2, 3)', async (t, point) => {
      await stack.until(await submitDoomed(t, 'say done', point), isCompleted);
    });

    testDeath('step-run', 'has the step run once more under its key (7)', async (t, point) => {
      const taskId = await submitDoomed(t, threeSteps, point, 2);
      await stack.until(taskId, isCompleted);
      assert.deepEqual(getStepRuns(tool, taskId), ['1/a/0', '1/b/0', '1/b/0', '1/c/0']);
    });

    testDeath('step-recorded', 'does not have the step run again (7)', async (t, point) => {
      const taskId = await submitDoomed(t, threeSteps, point, 2);
      await stack.until(taskId, isCompleted);
      assert.deepEqual(getStepRuns(tool, taskId), ['1/a/0', '1/b/0', '1/c/0']);
    });

    testDeath('chunk-stored', 'leaves one clean text, in events without gaps (5)', async (t, point) => {
      const words = Array.from({ length: 25 }, (_, index) => `word${index}`).join(' ');
      const taskId = await submitDoomed(t, `stream ${words}`, point, 2);
      const done = await stack.until(taskId, isCompleted);
      const texts = done.artifacts?.map(({ parts }) => parts.map(({ text }) => text).join(''));
      assert.deepEqual(
        texts?.map((text) => text.trim()),
        [words],
      );
      const { rows } = await stack.pool.query(
        `select count(*)::int as events, max(seq) as last from events where task_id = $1`,
        [taskId],
      );
      assert.equal(rows[0].events, rows[0].last);
    });

    testDeath('turn-ended', 'leaves a stored end, webhook and next turn (2, 4, 6)', async (t, point) => {
      const toolAnswer = Promise.withResolvers<number>();
      tool.answerBy(() => toolAnswer.promise);
      const worker = await startDoomed(stack, 'worker', point);
      const { id } = await stack.submit('step end\nsay one', withWebhook(receiver.url));
      await stack.until(id, ({ status }) => status.state === 'TASK_STATE_WORKING');
      await stack.submit('say two', { message: { taskId: id } });
      toolAnswer.resolve(200);
      await worker.died();
      const successors = await Promise.all([stack.start('worker'), stack.start('dispatcher')]);
      t.after(() => Promise.all(successors.map((successor) => successor.kill())));
      const done = await stack.until(id, isCompleted);
      assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'two');
      assert.deepEqual(getStepRuns(tool, id), ['1/end/0']);
      assert.match((await receiver.count(3))[2]!.body, /TASK_STATE_COMPLETED/);
    });
  });

  describe('a dispatcher', { concurrency: 1 }, () => {
    const cleanup = createSuiteCleanup();
    let stack: Stack;
    let receiver: Receiver;
    before(async () => {
      receiver = await startReceiver(cleanup);
      ({ stack } = await startScriptedStack(cleanup, settings));
      // The relay of the worker must not be the one that claims a wake-up.
      await Promise.all([stack.start('api'), stack.start('worker', { RECONCILE_SECONDS: '3600' })]);
    });

    /**
     * Submits a task with three events (submitted, working, completed) while dispatchers die at the given points, one
     * after the other, and returns the numbers of the events that its webhook received.
     */
    async function getEventsDespite(
      t: TestContext,
      ...points: [FaultPointName, number, Record<string, string>?][]
    ) {
      let taskId: string | undefined;
      for (const [point, passage, env] of points) {
        const dispatcher = await startDoomed(stack, 'dispatcher', point, passage, env);
        taskId ??= (await stack.submit('hello', withWebhook(receiver.url))).id;
        await dispatcher.died();
      }
      const successor = await stack.start('dispatcher');
      t.after(() => successor.kill());
      await waitFor(
        'all deliveries to be settled',
        async () => {
          const { rows } = await stack.pool.query(
            `select from deliveries where task_id = $1 and state = 'pending'`,
            [taskId],
          );
          return rows.length === 0;
          // A claim of the dead process may commit after its leases were ended.
        },
        { boundMs: 100_000 },
      );
      const received = receiver.received.filter(({ headers }) => headers['longhaul-task-id'] === taskId);
      return received.map(({ headers }) => Number(headers['longhaul-event']));
    }

    testDeath('delivery-claimed', 'has every event sent in order (6)', async (t, point) => {
      assert.deepEqual(await getEventsDespite(t, [point, 2]), [1, 2, 3]);
    });

    testDeath('webhook-posted', 'has the event sent again under its id (6)', async (t, point) => {
      assert.deepEqual(await getEventsDespite(t, [point, 2]), [1, 2, 2, 3]);
    });

    testDeath('attempt-recorded', 'has no event sent again (6)', async (t, point) => {
      assert.deepEqual(await getEventsDespite(t, [point, 2]), [1, 2, 3]);
    });

    testDeath('wakeups-claimed', 'after a failed attempt has it retried (2, 6)', async (t, point) => {
      receiver.answer(500, 200);
      // The relay has to schedule the retry before it is due: the dispatcher would take it then.
      const patient = { WEBHOOK_SCHEDULE_SECONDS: '0,6' };
      const events = await getEventsDespite(t, ['attempt-recorded', 1, patient], [point, 1]);
      assert.deepEqual([...new Set(events)], [1, 2, 3]);
      assert.ok(events.lastIndexOf(1) >= 1, 'the failed attempt was retried');
      // Cloud Tasks retries too: the death of the relay may interrupt a webhook in flight, which is then sent again.
      assert.ok(events.length <= 5, `sent ${events.join(', ')}`);
    });
  });
});

test('every fault point has a test', () => {
  assert.deepEqual([...pinned].toSorted(), faultPointNames.toSorted());
});
