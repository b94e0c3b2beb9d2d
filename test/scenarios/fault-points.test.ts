/**
 * A process that dies exactly between two steps that must hold together: one test for each named fault point, and the
 * invariant that it pins. Those of the worker follow one another: the process that goes on after a death is the one that is
 * to die in the next test, which is why some die on a later passage. Leases are long, and ended by hand after a death:
 * who is only slow must lose none, since what runs, and what is sent, is counted.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { faultPointNames, type FaultPointName } from '#shared/runtime/fault-points.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';
import { isCompleted, startStack, type Service, type ServiceKind, type Stack } from '../support/stack.ts';

const settings = {
  AGENT_MODULE: path.resolve('test/support/agents/scripted.ts'),
  LEASE_SECONDS: '60',
  WEBHOOK_TIMEOUT_SECONDS: '30',
  WEBHOOK_LEASE_MARGIN_SECONDS: '30',
  WEBHOOK_SCHEDULE_SECONDS: '0,0.2,0.2,0.2',
};
const pinned = new Set<FaultPointName>();

async function scripted(t: TestContext) {
  const [tool, receiver] = await Promise.all([startReceiver(t), startReceiver(t)]);
  const stack = await startStack(t, { ...settings, TEST_LOG_URL: tool.url });
  return { stack, tool, receiver };
}

/** Starts a service that dies at a point; resolves when it is up, and gives its end. */
async function doomed(stack: Stack, kind: ServiceKind, point: FaultPointName, passage = 1) {
  pinned.add(point);
  const { running } = await stack.start(kind, { FAULT_POINT: `${point}:${passage}` });
  return {
    died: async () => {
      assert.equal((await running.exited).signal, 'SIGKILL', running.output());
      if (kind !== 'api') await stack.endLeases(kind);
    },
  };
}

const withHook = (url: string) => ({ configuration: { taskPushNotificationConfig: { url } } });

describe('fault points', { concurrency: 2, timeout: 180_000 }, () => {
  test('of the front door and the worker', async (t) => {
    const { stack, tool, receiver } = await scripted(t);
    const stepsOf = (taskId: string) =>
      tool.received
        .filter((one) => one.body.startsWith(taskId))
        .map((one) => one.body.split('/').slice(2).join('/'));

    const send = { messageId: 'm1', role: 'ROLE_USER', parts: [{ text: 'say hello' }] };
    const params = { message: send, configuration: { returnImmediately: true } };
    const api = await doomed(stack, 'api', 'message-stored');
    await assert.rejects(stack.rpc('SendMessage', params));
    await api.died();
    // Its second claim.
    let [, worker] = await Promise.all([stack.start('api'), doomed(stack, 'worker', 'turn-claimed', 2)]);

    await t.test(
      'message-stored: what is stored is accepted, though its sender heard nothing (1, 2)',
      async () => {
        const { result } = await stack.rpc('SendMessage', params);
        await stack.until(result.task.id, isCompleted);
        const { rows } = await stack.pool.query(`select count(*)::int as tasks from tasks`);
        assert.equal(rows[0].tasks, 1, 'the sender that tries again finds the task of the first time');
      },
    );

    await t.test(
      'turn-claimed: the lease of a dead worker runs out, and another has the turn (2, 3)',
      async () => {
        const task = await stack.submit('say done');
        await worker.died();
        worker = await doomed(stack, 'worker', 'step-run', 2);
        await stack.until(task.id, isCompleted);
      },
    );

    await t.test('step-run: a step that was not recorded runs once more, under its key (7)', async () => {
      const task = await stack.submit('step a\nstep b\nstep c');
      await worker.died();
      // Here it records two steps, and two in the test that follows.
      worker = await doomed(stack, 'worker', 'step-recorded', 4);
      await stack.until(task.id, isCompleted);
      assert.deepEqual(stepsOf(task.id), ['a/0', 'b/0', 'b/0', 'c/0']);
    });

    await t.test('step-recorded: a recorded step never runs again (7)', async () => {
      const task = await stack.submit('step a\nstep b\nstep c');
      await worker.died();
      worker = await doomed(stack, 'worker', 'chunk-stored', 2);
      await stack.until(task.id, isCompleted);
      assert.deepEqual(stepsOf(task.id), ['a/0', 'b/0', 'c/0']);
    });

    await t.test('chunk-stored: text streamed twice reads once, in events without gaps (5)', async () => {
      const words = Array.from({ length: 25 }, (_, index) => `word${index}`).join(' ');
      const task = await stack.submit(`stream ${words}`);
      await worker.died();
      worker = await doomed(stack, 'worker', 'turn-ended', 2);
      const done = await stack.until(task.id, isCompleted);
      assert.deepEqual(
        done.artifacts?.map(({ parts }) =>
          parts
            .map((part) => part.text)
            .join('')
            .trim(),
        ),
        [words],
      );
      const { rows } = await stack.pool.query(
        `select count(*)::int as events, max(seq) as last from events where task_id = $1`,
        [task.id],
      );
      assert.equal(rows[0].events, rows[0].last);
    });

    await t.test(
      'turn-ended: the end is stored once, and its webhook and the next turn follow (2, 4, 6)',
      async () => {
        const followed = Promise.withResolvers<number>();
        tool.answerBy(() => followed.promise);
        const task = await stack.submit('step end\nsay one', withHook(receiver.url));
        await stack.until(task.id, (one) => one.status.state === 'TASK_STATE_WORKING');
        await stack.submit('say two', { message: { taskId: task.id } });
        followed.resolve(200);
        await worker.died();
        await Promise.all([stack.start('worker'), stack.start('dispatcher')]);
        const done = await stack.until(task.id, isCompleted);
        assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'two');
        assert.deepEqual(stepsOf(task.id), ['end/0']);
        assert.match((await receiver.count(3))[2]!.body, /TASK_STATE_COMPLETED/);
      },
    );
  });

  test('of the dispatcher and the relay', async (t) => {
    const { stack, receiver } = await scripted(t);
    await Promise.all([
      stack.start('api'),
      // Its relay is not to be the one that finds a wakeup.
      stack.start('worker', { RECONCILE_SECONDS: '3600' }),
    ]);
    let goesOn: Service | undefined;

    /** A task with three events: submitted, working, completed. */
    const submit = async () => (await stack.submit('hello', withHook(receiver.url))).id;
    /** The numbers of the events of a task that came, once all its deliveries are settled. */
    async function eventsOf(taskId: string): Promise<unknown[]> {
      await untilSettled(stack, taskId);
      return receiver.received
        .filter((one) => one.headers['longhaul-task-id'] === taskId)
        .map((one) => {
          assert.equal(
            one.headers['webhook-id']?.toString().split('.').at(-1),
            one.headers['longhaul-event'],
          );
          return Number(one.headers['longhaul-event']);
        });
    }

    /** @returns the events that came of a task whose dispatchers die at these points, one after the other */
    async function eventsDespite(...points: [FaultPointName, number][]): Promise<unknown[]> {
      await goesOn?.kill();
      let taskId: string | undefined;
      for (const [point, passage] of points) {
        const dispatcher = await doomed(stack, 'dispatcher', point, passage);
        taskId ??= await submit();
        await dispatcher.died();
      }
      goesOn = await stack.start('dispatcher');
      return eventsOf(taskId ?? '');
    }

    await t.test('delivery-claimed: what was claimed and not sent is sent, in its order (6)', async () => {
      assert.deepEqual(await eventsDespite(['delivery-claimed', 2]), [1, 2, 3]);
    });

    await t.test(
      'webhook-posted: what was sent and not recorded is sent again, under the same id (6)',
      async () => {
        assert.deepEqual(await eventsDespite(['webhook-posted', 2]), [1, 2, 2, 3]);
      },
    );

    await t.test(
      'attempt-recorded: what is recorded is not sent again; what was claimed with the record is sent (6)',
      async () => {
        assert.deepEqual(await eventsDespite(['attempt-recorded', 2]), [1, 2, 3]);
      },
    );

    await t.test(
      'attempt-recorded, wakeups-claimed: a failed attempt is rung for again, though the relay dies as well (2, 6)',
      async () => {
        receiver.answer(500, 200);
        const events = await eventsDespite(['attempt-recorded', 1], ['wakeups-claimed', 1]);
        assert.deepEqual([...new Set(events)], [1, 2, 3]);
        assert.ok(events.lastIndexOf(1) >= 1, 'the attempt that failed was made again');
        // Cloud Tasks calls again as well: the relay's death may cut a webhook under way, which is then sent once more.
        assert.ok(events.length <= 5, `sent ${events.join(', ')}`);
      },
    );
  });
});

test('each fault point has a test', () => {
  assert.deepEqual([...pinned].toSorted(), faultPointNames.toSorted());
});

async function untilSettled(stack: Stack, taskId: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const { rows } = await stack.pool.query(
      `select count(*)::int as pending from deliveries where task_id = $1 and state = 'pending'`,
      [taskId],
    );
    if (rows[0].pending === 0) return;
    assert.ok(performance.now() < deadline, `${rows[0].pending} deliveries are not settled`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
