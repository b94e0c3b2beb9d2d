import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import {
  deleteWebhookConfig,
  getWebhookConfig,
  listWebhookConfigs,
  maxWebhookConfigs,
  putWebhookConfig,
} from '#shared/db/webhooks/configs.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readConfig, readDeliveries, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { caller, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const options = { wakeupGraceSeconds: 10, webhookRequestsPerMinute: 0 };
const stranger = { ...caller, owner: 'mallory' };
const otherTenant = { ...caller, tenant: 'other' };
const { db } = await connectToTestDatabase();

async function start(t: TestContext) {
  const receiver = await startReceiver(t);
  const { outbox, inFlight } = await startDispatchers(t, db, 1);
  const put = async (taskId: string, config = webhookTo(receiver.url)) => {
    const result = await putWebhookConfig(db, options, caller, taskId, config);
    assert.equal(result.kind, 'stored');
    outbox.publish(result.kind === 'stored' ? result.wakeups : []);
  };
  return { receiver, outbox, put, inFlight };
}

describe('webhook configs', () => {
  test('returns a config to its owner only', async () => {
    const task = await startTask(db, undefined);
    const hook = webhookTo('https://example.com/', {
      token: 'encrypted',
      authScheme: 'Basic',
      authCredentials: 'encrypted',
    });
    assert.equal((await putWebhookConfig(db, options, stranger, task.taskId, hook)).kind, 'task_not_found');
    assert.equal(
      (await putWebhookConfig(db, options, otherTenant, task.taskId, hook)).kind,
      'task_not_found',
    );
    assert.equal((await putWebhookConfig(db, options, caller, uuidv7(), hook)).kind, 'task_not_found');
    assert.deepEqual(await putWebhookConfig(db, options, caller, task.taskId, hook), {
      kind: 'stored',
      created: true,
      wakeups: [],
    });
    const stored = await getWebhookConfig(db, caller, task.taskId, 'hook');
    assert.ok(stored !== undefined);
    const { createdAt, nextAttemptAt, ...rest } = stored;
    assert.ok(createdAt instanceof Date && nextAttemptAt === null);
    assert.deepEqual(rest, { ...hook, failures: 0, disabledAt: null, disabledReason: null });
    assert.deepEqual(await listWebhookConfigs(db, caller, task.taskId, { size: 5 }), {
      configs: [stored],
      next: undefined,
    });
    for (const other of [stranger, otherTenant]) {
      assert.equal(await getWebhookConfig(db, other, task.taskId, 'hook'), undefined);
      assert.equal(await listWebhookConfigs(db, other, task.taskId, { size: 5 }), undefined);
      assert.equal(await deleteWebhookConfig(db, other, task.taskId, 'hook'), 'task_not_found');
    }
    assert.equal(await deleteWebhookConfig(db, caller, task.taskId, 'other'), 'config_not_found');
    assert.equal(await deleteWebhookConfig(db, caller, task.taskId, 'hook'), 'deleted');
    assert.equal(await getWebhookConfig(db, caller, task.taskId, 'hook'), undefined);
    assert.deepEqual(await listWebhookConfigs(db, caller, task.taskId, { size: 5 }), {
      configs: [],
      next: undefined,
    });
  });

  test('pages configs by id, and limits them for each task', async () => {
    const task = await startTask(db, undefined);
    const ids = Array.from(
      { length: maxWebhookConfigs },
      (_, index) => `hook-${String(index).padStart(2, '0')}`,
    );
    const put = (id: string) =>
      putWebhookConfig(db, options, caller, task.taskId, webhookTo('https://example.com/', { id }));
    for (const id of ids) assert.equal((await put(id)).kind, 'stored');
    assert.equal((await put('one-more')).kind, 'too_many');
    assert.equal((await put(ids[0]!)).kind, 'stored');
    const seen: string[] = [];
    let next: string | undefined;
    do {
      const page = await listWebhookConfigs(db, caller, task.taskId, { size: 7, after: next });
      seen.push(...page!.configs.map(({ id }) => id));
      next = page!.next;
    } while (next !== undefined);
    assert.deepEqual(seen, ids);
  });

  // [PUSH-CREATE-002]
  test('sends only events created after the config', { timeout }, async (t) => {
    const { receiver, outbox, put } = await start(t);
    const task = await startTask(db, outbox);
    await put(task.taskId);
    await task.claim();
    await receiver.count(1);
    assert.deepEqual(receiver.events(), [2]);
  });

  // [PUSH-DELIVER-002]
  test('loses no event when configs change while a worker writes', { timeout }, async () => {
    // In any order of commits, each config gets every event from some number on without a gap, and every
    // write of the worker succeeds.
    const task = await startTask(db, undefined);
    await task.claim();
    const rounds = 8;
    const ids = Array.from({ length: 6 }, (_, index) => `h${index}`);
    const written = new AbortController();
    const configure = async (id: string) => {
      while (!written.signal.aborted) {
        const hook = webhookTo('https://example.com/', { id, events: 'all' });
        assert.equal((await putWebhookConfig(db, options, caller, task.taskId, hook)).kind, 'stored');
      }
    };
    const write = async () => {
      for (let round = 0; round < rounds; round++) await task.progress(1);
    };
    await Promise.all([write().finally(() => written.abort()), ...ids.map(configure)]);
    const rows = await readDeliveries(db, task.taskId);
    for (const id of ids) {
      const seqs = rows.filter((row) => row.config_id === id).map(({ seq }) => seq);
      assert.deepEqual(
        seqs,
        Array.from({ length: seqs.length }, (_, index) => rounds + 3 - seqs.length + index),
      );
    }
  });

  test('sends the task once to a config created after its end', { timeout }, async (t) => {
    const { receiver, outbox, put } = await start(t);
    const task = await startTask(db, outbox);
    await task.claim();
    await task.end('TASK_STATE_COMPLETED');
    await put(task.taskId);
    await receiver.count(1);
    await waitForDeliveries(db, task.taskId);
    assert.ok('task' in (JSON.parse(receiver.received[0]!.body) as object));
    await put(task.taskId);
    await put(task.taskId, webhookTo(receiver.url, { id: 'other' }));
    await receiver.count(2);
    await waitForDeliveries(db, task.taskId);
    assert.deepEqual(
      receiver.received.map(({ headers }) => headers['webhook-id']),
      ['hook', 'other'].map((configId) => getMessageId({ taskId: task.taskId, configId, seq: 3 })),
    );
    assert.equal(await deleteWebhookConfig(db, caller, task.taskId, 'hook'), 'deleted');
    await put(task.taskId);
    await receiver.count(3);
  });

  test('cancels pending deliveries when a config is deleted', { timeout }, async (t) => {
    const { receiver, outbox } = await start(t);
    const release = Promise.withResolvers<number>();
    receiver.answerBy(() => release.promise);
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await receiver.count(1);
    await task.claim();
    assert.equal(await deleteWebhookConfig(db, caller, task.taskId, 'hook'), 'deleted');
    await task.end('TASK_STATE_COMPLETED');
    release.resolve(500);
    await outbox.idle();
    assert.deepEqual(
      (await readDeliveries(db, task.taskId)).map(({ seq, state }) => [seq, state]),
      [
        [1, 'cancelled'],
        [2, 'cancelled'],
      ],
    );
    assert.equal(receiver.received.length, 1);
  });

  test('ignores the result of an attempt in flight when its config is replaced', { timeout }, async (t) => {
    for (const replace of ['put', 'delete and put']) {
      const { receiver, outbox, put, inFlight } = await start(t);
      const newReceiver = await startReceiver(t);
      const [release, newRelease] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
      receiver.answerBy(() => release.promise);
      newReceiver.answerBy(() => newRelease.promise);
      const task = await startTask(db, outbox, webhookTo(receiver.url));
      await receiver.count(1);
      if (replace === 'delete and put') await deleteWebhookConfig(db, caller, task.taskId, 'hook');
      await put(task.taskId, webhookTo(newReceiver.url));
      await task.claim();
      await newReceiver.count(1);
      await outbox.idle();
      release.resolve(410);
      await waitFor('one call in flight', () => inFlight() === 1);
      assert.equal((await getWebhookConfig(db, caller, task.taskId, 'hook'))?.disabledReason, null);
      newRelease.resolve(200);
      const expected = replace === 'put' ? [1, 2] : [2];
      await newReceiver.count(expected.length);
      assert.deepEqual(newReceiver.events(), expected);
      assert.equal(receiver.received.length, 1);
    }
  });

  test('delivers again when a disabled config is replaced', { timeout }, async (t) => {
    const { receiver, outbox, put } = await start(t);
    receiver.answerBy(() => 410);
    const task = await startTask(db, outbox, webhookTo(receiver.url));
    await waitFor('the disabled config', async () => (await readConfig(db, task.taskId)).disabled_at);
    receiver.answerBy(() => 200);
    await put(task.taskId);
    await task.claim();
    await receiver.count(2);
    assert.deepEqual(receiver.events(), [1, 2]);
  });
});
