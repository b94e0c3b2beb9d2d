/** A claim or record of webhook deliveries whose answer was lost does not keep others from its deliveries, nor itself. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createDeliveryClaim } from '#shared/db/webhooks/attempts/claim.ts';
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { createAttemptRecorder } from '#shared/db/webhooks/attempts/record.ts';
import { takeDeliveries } from '#shared/db/webhooks/attempts/take.ts';
import { newTask, newWebhook } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { startSilentProxy } from '../../../support/network/silent-proxy.ts';

const { db, url } = await connectToTestDatabase({ direct: true });
await storeAgent(db, 'h', {});
const leaseSeconds = 60;
const webhook = newWebhook();

/** Opens the database through a proxy that loses the answer to the next statement. */
async function openWithLostAnswer(t: TestContext): Promise<Db> {
  const address = new URL(url);
  const proxy = await startSilentProxy(t, { host: address.hostname, port: Number(address.port) });
  address.port = String(proxy.port);
  const database = { url: address.href, poolSize: 1 };
  const opened = openDatabase({ database, queryTimeoutMs: 1_000, applicationName: 'lost-claims' });
  t.after(() => opened.db.destroy());
  await opened.db.selectFrom('agents').select('hash').limit(1).execute();
  void proxy.silenceAtAnswer(1);
  return opened.db;
}

async function accept(): Promise<{ taskId: string; configId: string }> {
  const task = newTask({ webhook });
  await createAccept(db, { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 })(task);
  return { taskId: task.taskId, configId: webhook.id };
}

test('a claim whose answer was lost is repeated with its own leases', async (t) => {
  const key = await accept();
  const lossy = await openWithLostAnswer(t);
  const { deliveries } = await createDeliveryClaim(lossy, { leaseSeconds })({ ...key, limit: 16 });
  assert.deepEqual(
    deliveries.map(({ attempt, fence }) => [attempt, fence]),
    [[2, 2]],
  );
});

test('a take whose answer was lost finds what it has claimed', async (t) => {
  const key = await accept();
  const lossy = await openWithLostAnswer(t);
  const request = { wakeups: 100, limit: 16, exceptOwners: [] };
  const { taken, queues } = await takeDeliveries(lossy, leaseSeconds, request);
  assert.equal(taken, request.wakeups, 'there may be more');
  const found: ClaimedDelivery[] = [...queues.values()].flatMap(({ deliveries }) => deliveries);
  assert.deepEqual(
    found.map(({ taskId }) => taskId),
    [key.taskId],
  );
});

test('a record whose answer was lost claims again what it has claimed', async (t) => {
  const key = await accept();
  await db
    .insertInto('deliveries')
    .values({ task_id: key.taskId, config_id: key.configId, seq: 2, wakeup_at: new Date() })
    .execute();
  const claim = await createDeliveryClaim(db, { leaseSeconds })({ ...key, limit: 1 });
  const [delivery] = claim.deliveries;
  assert.ok(delivery !== undefined);
  const lossy = await openWithLostAnswer(t);
  const record = createAttemptRecorder(lossy, { leaseSeconds, wakeupGraceSeconds: 10 });
  const answer = { startedAt: new Date(), durationMs: 1, status: 204, error: null, responseStart: '' };
  const attempt = { ...answer, delivery, mayContinue: true, nextClaimId: randomUUID() };
  const outcome = { kind: 'delivered' } as const;
  await assert.rejects(record({ ...attempt, outcome }));
  const recorded = await record({ ...attempt, outcome });
  assert.deepEqual([recorded?.next?.seq, recorded?.next?.attempt], [2, 2]);
});
