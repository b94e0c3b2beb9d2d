/** A client that freezes within a transaction does not hold up others for long. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { dequeueTurns } from '#shared/db/queue/dequeue.ts';
import { createEnqueue } from '#shared/db/queue/enqueue.ts';
import { wakeStalledQueues } from '#shared/db/queue/wake.ts';
import { fireSchedules } from '#shared/db/schedules/fire.ts';
import { putSchedule, setPaused, type ScheduleSettings } from '#shared/db/schedules/store.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { createDeliveryClaim } from '#shared/db/webhooks/attempts/claim.ts';
import type { ConfigKey } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { deleteWebhookConfig, putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { deliverTest } from '#shared/db/webhooks/deliveries.ts';
import { createAttemptRecorder } from '#shared/db/webhooks/attempts/record.ts';
import type { Attempt } from '#shared/db/webhooks/attempts/settle.ts';
import type { WebhookRow } from '#shared/db/tasks/accept.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import {
  caller,
  createClaimedTask,
  newFollowUp,
  newTask,
  newWebhook,
} from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { noLimits } from '../../../support/services/quotas.ts';
import { startSilentProxy } from '../../../support/network/silent-proxy.ts';
import { waitFor } from '../../../support/wait-for.ts';

const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10, webhookRequestsPerMinute: 0 };
/** The transaction's limit of 2 s, and time for a busy machine. */
const boundMs = 5_000;

const { db, url } = await connectToTestDatabase({ direct: true });
await storeAgent(db, 'h', {});

async function openThroughProxy(t: TestContext) {
  const address = new URL(url);
  const proxy = await startSilentProxy(t, { host: address.hostname, port: Number(address.port) });
  address.port = String(proxy.port);
  const opened = openDatabase({
    database: { url: address.href, poolSize: 2 },
    queryTimeoutMs: 4_000,
    applicationName: 'frozen',
  });
  t.after(() => opened.db.destroy());
  return { frozen: opened.db, proxy };
}

const webhook = newWebhook();
const leases = { leaseSeconds: 60, wakeupGraceSeconds: 10 };

async function accept(): Promise<ConfigKey> {
  const task = newTask({ webhook });
  await createAccept(db, options)(task);
  return { taskId: task.taskId, configId: webhook.id };
}

async function claimAttempt(key: ConfigKey): Promise<Attempt> {
  const { deliveries } = await createDeliveryClaim(db, leases)({ ...key, limit: 1 });
  return {
    delivery: deliveries[0]!,
    startedAt: new Date(),
    durationMs: 1,
    status: 500,
    error: null,
    responseStart: null,
    outcome: { kind: 'retry', delaySeconds: 0 },
    mayContinue: true,
    nextClaimId: randomUUID(),
  };
}

/** Queues a turn of an owner of its own. */
async function enqueue(): Promise<string> {
  const task = newTask({ owner: randomUUID() });
  await createAccept(db, options)(task);
  await createEnqueue(db, options)(task.taskId);
  await sql`update turn_queues set wake_at = now() where owner = ${task.owner}`.execute(db);
  return task.owner;
}

/** Stores a schedule of a caller of its own. */
async function schedule() {
  const owner = { tenant: '', owner: randomUUID() };
  const settings: ScheduleSettings = {
    id: 'hourly',
    rhythm: { everySeconds: 3600 },
    overlap: 'allow',
    catchUpSeconds: 60,
    paused: false,
    template: {
      message: { role: 'ROLE_USER', parts: [{ text: 'hello' }] },
      metadata: null,
      acceptedOutputModes: null,
      priority: 0,
    },
    toWebhook: () => null,
  };
  const put = (pool: Db) => putSchedule(pool, owner, settings, 0);
  await put(db);
  const makeDue = async (): Promise<void> => {
    const due = sql`now() - interval '1 second'`;
    await sql`update schedules set next_at = ${due}, wakeup_at = ${due} where owner = ${owner.owner}`.execute(
      db,
    );
  };
  return { put, makeDue, other: () => setPaused(db, owner, 'hourly', true) };
}

const firing = {
  getLimits: async () => noLimits,
  copyWebhook: (_key: string, _id: string, webhook: WebhookRow) => webhook,
  wakeupGraceSeconds: 10,
  limit: 1000,
};

/**
 * Writes a turn whose gate others have locked, until the write waits for the lock; then they release it.
 */
async function writeInLine(frozen: Db, lease: Lease): Promise<unknown> {
  const event = { kind: 'progress', payload: '{}' } as const;
  const { written } = await db.transaction().execute(async (trx) => {
    const { rows: own } = await sql<{ pid: number }>`
      select pg_backend_pid() as pid from gates where task_id = ${lease.taskId} for update`.execute(trx);
    const written = createTurnWriter(frozen, leases)({ lease, events: [event] });
    written.catch(() => undefined);
    await waitFor('the write to wait for the lock', async () => {
      const { rows } = await sql`
        select from pg_stat_activity
        where datname = current_database() and ${own[0]!.pid}::int = any(pg_blocking_pids(pid))`.execute(db);
      return rows.length > 0;
    });
    return { written };
  });
  return written;
}

const dequeue = (pool: Db, owner: string) => dequeueTurns(pool, { owner, count: 1, limit: 1, ...leases });
const getCancel =
  ({ taskId }: ConfigKey) =>
  () =>
    cancelTask(db, options, taskId);

/** A transaction of several statements on rows that others need, and what they need them for. */
interface Operation {
  run: (frozen: Db) => Promise<unknown>;
  /** Must not be held up. */
  other: () => Promise<unknown>;
}

/** By name: after how many answers its transaction is open, and the operation. */
const operations: Record<string, [answers: number, prepare: () => Promise<Operation>]> = {
  'a new config': [
    6,
    async () => {
      const key = await accept();
      const run = (frozen: Db) => putWebhookConfig(frozen, options, caller, key.taskId, newWebhook());
      return { run, other: getCancel(key) };
    },
  ],
  'a deleted config': [
    4,
    async () => {
      const key = await accept();
      const run = (frozen: Db) => deleteWebhookConfig(frozen, caller, key.taskId, key.configId);
      return { run, other: getCancel(key) };
    },
  ],
  'a test delivery': [
    4,
    async () => {
      const key = await accept();
      return { run: (frozen: Db) => deliverTest(frozen, options, caller, key), other: getCancel(key) };
    },
  ],
  'a dequeued turn': [
    4,
    async () => {
      const owner = await enqueue();
      return { run: (frozen: Db) => dequeue(frozen, owner), other: () => dequeue(db, owner) };
    },
  ],
  'a write of a turn in line for its gate': [
    2,
    async () => {
      const { lease } = await createClaimedTask(db);
      return {
        run: (frozen: Db) => writeInLine(frozen, lease),
        other: getCancel({ ...lease, configId: '' }),
      };
    },
  ],
  'a replaced schedule': [
    5,
    async () => {
      const { put, other } = await schedule();
      return { run: put, other };
    },
  ],
  'schedules that are due': [
    4,
    async () => {
      const { makeDue, other } = await schedule();
      // Another test may have started its task.
      const run = async (frozen: Db): Promise<void> => {
        for (;;) {
          await makeDue();
          await fireSchedules(frozen, firing);
        }
      };
      return { run, other };
    },
  ],
  'queues that are woken': [
    4,
    async () => {
      const owner = await enqueue();
      // Another test may have woken the queue.
      const run = async (frozen: Db): Promise<void> => {
        for (;;) await wakeStalledQueues(frozen, { limit: 1000, graceSeconds: 0 });
      };
      return { run, other: () => dequeue(db, owner) };
    },
  ],
};

describe('a client that freezes within a transaction', { concurrency: 8 }, () => {
  for (const [name, [answers, prepare]] of Object.entries(operations)) {
    for (let answer = 1; answer <= answers; answer++) {
      test(`holds up no others after answer ${answer} to ${name}`, async (t) => {
        let ms = await freeze(t, answer, prepare);
        // Machines pause for seconds at times.
        if (ms >= boundMs) ms = await freeze(t, answer, prepare);
        assert.ok(ms < boundMs, `${ms} ms`);
      });
    }
  }

  /** Returns for how many milliseconds others are held up; Infinity: they get an error. */
  async function freeze(t: TestContext, answer: number, prepare: () => Promise<Operation>): Promise<number> {
    const { frozen, proxy } = await openThroughProxy(t);
    const { run, other } = await prepare();
    const silent = proxy.silenceInTransaction(answer);
    const running = run(frozen).catch((error: unknown) => error);
    await silent;
    const startedAt = performance.now();
    const ms = await other().then(
      () => performance.now() - startedAt,
      () => Infinity,
    );
    assert.ok((await running) instanceof Error, 'the frozen client gets an error');
    return ms;
  }

  const single: Record<string, (frozen: Db, taskId: string) => Promise<unknown>> = {
    'a follow-up': (frozen, taskId) => acceptFollowUp(frozen, options, newFollowUp(taskId)),
    'a cancellation': (frozen, taskId) => cancelTask(frozen, options, taskId),
    'the record of an attempt': async (frozen, taskId) => {
      const attempt = await claimAttempt({ taskId, configId: webhook.id });
      await createAttemptRecorder(frozen, leases)(attempt);
    },
  };
  for (const [name, run] of Object.entries(single)) {
    test(`cannot freeze within ${name}, which has single statements`, async (t) => {
      const { frozen, proxy } = await openThroughProxy(t);
      const { taskId } = await accept();
      let inTransaction = false;
      void proxy.silenceInTransaction(1).then(() => (inTransaction = true));
      await run(frozen, taskId);
      assert.equal(inTransaction, false);
    });
  }
});
