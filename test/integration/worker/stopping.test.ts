/** A worker that stops gives back its turns: those that it gets meanwhile without running them. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { PubSubConfig } from '#shared/runtime/config/common.ts';
import { createLeaveTurn } from '#shared/db/queue/versions.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createInputReader } from '#shared/db/turns/input/input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { createLogger } from '#shared/runtime/log.ts';
import type { Agent, Turn } from '#services/worker/agent/agent.ts';
import { createIntake, type Intake, type IntakeParts } from '#services/worker/intake/intake.ts';
import { createPushConsumer } from '#services/worker/intake/push-consumer.ts';
import { startPulling } from '#services/worker/intake/versions.ts';
import { createLeaseHeartbeat } from '#services/worker/turn/lease-heartbeat.ts';
import { MemoryBudget } from '#services/worker/turn/memory-budget.ts';
import { createTurnFiles } from '#services/worker/turn/output/files.ts';
import { isSuspect, Suspects } from '#services/worker/turn/suspects.ts';
import { newTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const log = createLogger('test', 'silent');
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const accept = createAccept(db, options);
const maxAttempts = 5;
const recordBytes = 1_000_000;
const claim = createClaim(db, { ...options, worker: 'w', leaseSeconds: 30, maxAttempts });
const sent = { at: Date.now(), traceparent: undefined };

async function acceptTask(): Promise<string> {
  const task = newTask();
  await accept(task);
  return task.taskId;
}

const readGate = (taskId: string) =>
  db.selectFrom('gates').selectAll().where('task_id', '=', taskId).executeTakeFirstOrThrow();

/** Accepts a task, and claims its turn twice for workers that die. */
async function acceptSuspect(): Promise<string> {
  const taskId = await acceptTask();
  for (let death = 0; death < 2; death++) {
    assert.equal((await claim(taskId)).kind, 'claimed');
    for (const table of ['gates', 'extended_leases'] as const) {
      const ended = { lease_until: new Date(Date.now() - 1_000) };
      await db.updateTable(table).set(ended).where('task_id', '=', taskId).execute();
    }
  }
  return taskId;
}

async function readOutcomes(taskId: string): Promise<(string | null)[]> {
  const attempts = db.selectFrom('turn_attempts').select('outcome').where('task_id', '=', taskId);
  return (await attempts.orderBy('fence').execute()).map(({ outcome }) => outcome);
}

interface Hooks {
  /** Runs between the answer of the database to a claim and the run of its turn. */
  onClaimed?: (intake: Intake) => void;
  /** Default: completes the task. */
  run?: (intake: Intake, turn: Turn) => ReturnType<Agent['run']>;
}

function openIntake(t: TestContext, { onClaimed, run }: Hooks = {}) {
  const heartbeat = createLeaseHeartbeat({ db, leaseSeconds: 30, log });
  t.after(() => heartbeat.close());
  const recorder = { add: () => undefined };
  const ran: string[] = [];
  const intake: Intake = createIntake({
    ...options,
    db,
    agent: {
      run: async (turn: Turn) => {
        ran.push('agent');
        return run === undefined ? { state: 'TASK_STATE_COMPLETED' } : run(intake, turn);
      },
    },
    claimTurn: async (taskId: string) => {
      const result = await claim(taskId);
      onClaimed?.(intake);
      return result;
    },
    readInput: createInputReader(db, { recordBytes }),
    write: createTurnWriter(db, options),
    openFiles: createTurnFiles(db, { publicUrl: undefined, recorder, log }),
    memory: new MemoryBudget(),
    suspects: new Suspects(),
    checkCost: async () => undefined,
    recordBytes,
    getOwnerLimits: async () => ({ concurrentTurns: 0 }),
    databaseFailedAt: () => -Infinity,
    heartbeat,
    outbox: { publish: () => undefined },
    recorder,
    concurrency: 4,
    ownerShare: 1,
    mayClaim: () => true,
    maxAttempts,
    source: { topic: 't', subscription: 's' },
    leftWakeSeconds: 60,
    log,
  } as unknown as IntakeParts);
  return { intake, ran };
}

describe('a worker that stops', () => {
  test('releases a turn that it has claimed meanwhile, before it runs code of the agent', async (t) => {
    const { intake, ran } = openIntake(t, { onClaimed: (stopped) => void stopped.drain() });
    const taskId = await acceptTask();
    await intake.claimAndRun(taskId, sent);
    assert.deepEqual(ran, []);
    const { lease_until: leaseUntil, attempts } = await readGate(taskId);
    assert.deepEqual([leaseUntil, attempts], [null, 0]);
    assert.equal((await claim(taskId)).kind, 'claimed', 'another worker claims it at once');
  });

  test('leaves a turn whose workers died a suspect, and spends no attempt', async (t) => {
    const taskId = await acceptSuspect();
    const { intake, ran } = openIntake(t, { onClaimed: (stopped) => void stopped.drain() });
    await intake.claimAndRun(taskId, sent);
    assert.deepEqual(ran, []);
    const next = await claim(taskId);
    assert.ok(next.kind === 'claimed', 'another worker claims it at once');
    assert.deepEqual([next.attempts, isSuspect(next, maxAttempts)], [3, true]);
    assert.deepEqual(await readOutcomes(taskId), ['crashed', 'crashed', 'postponed']);
  });

  for (const [recorded, expected] of [
    [false, [3, true, true]],
    [true, [1, false, false]],
  ] as const) {
    const title = recorded
      ? 'clears a suspect that has recorded a step'
      : 'leaves a turn without a recorded step a suspect';
    test(title, async (t) => {
      const taskId = await acceptSuspect();
      const { intake, ran } = openIntake(t, {
        run: async (stopped, turn) => {
          if (recorded) await turn.step('first', async () => 'done');
          void stopped.drain();
          await turn.step('second', async () => assert.fail('no step starts while the worker stops'));
          return { state: 'TASK_STATE_COMPLETED' };
        },
      });
      await intake.claimAndRun(taskId, sent);
      assert.deepEqual(ran, ['agent']);
      const next = await claim(taskId);
      assert.ok(next.kind === 'claimed', 'another worker claims it at once');
      assert.deepEqual([next.attempts, next.crashed, isSuspect(next, maxAttempts)], expected);
      assert.deepEqual(await readOutcomes(taskId), ['crashed', 'crashed', 'stopped']);
    });
  }

  test('takes no turn from the queue of its version', async (t) => {
    const taskId = await acceptTask();
    await db.updateTable('gates').set({ agent_version: '1' }).where('task_id', '=', taskId).execute();
    await createLeaveTurn(db, { wakeSeconds: 60 })(taskId);
    const readQueue = () =>
      db.selectFrom('version_queue').selectAll().where('task_id', '=', taskId).executeTakeFirstOrThrow();
    const before = await readQueue();
    const { intake } = openIntake(t);
    const pulling = startPulling({
      db,
      intake,
      config: { pubsub: {} as PubSubConfig, concurrency: 4, reconcileMs: 10_000 },
      versions: { own: '1', runs: ['1'] },
      log,
    });
    // It looks for turns since its start.
    await Promise.all([...pulling.close(), intake.drain()]);
    assert.deepEqual(await readQueue(), before);
  });

  test('takes no turn from the queue of an owner', async (t) => {
    const { intake } = openIntake(t);
    const taskId = await acceptTask();
    await intake.enqueue(taskId);
    const taking = intake.dequeue('ada', 1);
    await intake.drain();
    assert.deepEqual(await taking, { turns: [], mayHaveMore: false });
    assert.deepEqual(
      (await openIntake(t).intake.dequeue('ada', 1)).turns.map((turn) => turn.taskId),
      [taskId],
    );
  });

  test('refuses a pushed turn if it stops before the claim', async (t) => {
    const { intake, ran } = openIntake(t);
    const run = createPushConsumer({
      ...options,
      db,
      intake,
      outbox: { publishAll: async () => undefined } as never,
      passOn: async () => {
        await intake.drain();
        return false;
      },
      log,
    });
    const taskId = await acceptTask();
    const turn = { taskId, turn: 1, owner: 'ada', fromQueue: false, sent };
    assert.equal(await run(turn, { releaseAfterMs: 10_000, abortAfterMs: 20_000 }), false);
    assert.deepEqual(ran, []);
    const queued = await db.selectFrom('queued_turns').where('task_id', '=', taskId).execute();
    assert.deepEqual(queued, []);
  });
});
