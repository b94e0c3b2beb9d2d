/** A client that freezes within a transaction does not hold up others for long. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { deleteWebhookConfig, putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { deliverTest } from '#shared/db/webhooks/deliveries.ts';
import { caller, newFollowUp, newTask, newWebhook } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { startSilentProxy } from '../../../support/silent-proxy.ts';

const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10, webhookRequestsPerMinute: 0 };
/** The transaction's limit of 2 s, and time for a busy machine. */
const boundMs = 5_000;

const { db, url } = await connectToTestDatabase({ direct: true });

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

const operations: [name: string, answers: number, run: (frozen: Db, taskId: string) => Promise<unknown>][] = [
  ['a follow-up', 4, (frozen, taskId) => acceptFollowUp(frozen, options, newFollowUp(taskId))],
  ['a cancellation', 3, (frozen, taskId) => cancelTask(frozen, options, taskId)],
  ['a new config', 6, (frozen, taskId) => putWebhookConfig(frozen, options, caller, taskId, newWebhook())],
  ['a deleted config', 4, (frozen, taskId) => deleteWebhookConfig(frozen, caller, taskId, webhook.id)],
  [
    'a test delivery',
    4,
    (frozen, taskId) => deliverTest(frozen, options, caller, { taskId, configId: webhook.id }),
  ],
];

describe('a client that freezes within a transaction', { concurrency: true }, () => {
  for (const [name, answers, run] of operations) {
    for (let answer = 1; answer <= answers; answer++) {
      test(`does not hold up a cancellation after answer ${answer} to ${name}`, async (t) => {
        const { frozen, proxy } = await openThroughProxy(t);
        const task = newTask({ webhook });
        await createAccept(db, options)(task);
        const silent = proxy.silenceInTransaction(answer);
        const running = run(frozen, task.taskId).catch((error: unknown) => error);
        await silent;
        const startedAt = performance.now();
        assert.notEqual(await cancelTask(db, options, task.taskId), undefined);
        assert.ok(performance.now() - startedAt < boundMs);
        assert.ok((await running) instanceof Error, 'the frozen client gets an error');
      });
    }
  }
});
