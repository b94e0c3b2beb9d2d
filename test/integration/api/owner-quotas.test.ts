/** Limits of owners, as requests in one process, in several processes and on the wire meet them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import type { Pool } from 'pg';
import { createOwnerQuotas, type OwnerQuotas } from '#services/api/limits/owner-quotas.ts';
import { QuotaExceededError } from '#services/api/limits/quota-error.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { countTaskBytes } from '#shared/db/owners/bytes.ts';
import { createUsageRecorder, type UsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import { createUsageReader } from '#shared/db/owners/usage.ts';
import { createAccept, type Accept } from '#shared/db/tasks/accept.ts';
import type { OwnerLimits } from '#shared/domain/owner-limits.ts';
import { sha256 } from '../../support/services/api-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { newTask } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { postJsonRpc, type JsonRpcAnswer } from '../../support/clients/json-rpc.ts';
import { freePort } from '../../support/network/ports.ts';
import { noLimits } from '../../support/services/quotas.ts';
import { createRawGrpc, createRawRest } from '../../support/clients/raw-bindings.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Adds a model call of today, by owner and cost. */
const insertCost = `
  insert into ledger (tenant, owner, day, model, calls, prompt_tokens, cached_tokens, tool_tokens, thought_tokens,
    output_tokens, cost, unpriced)
  values ('any', $1, (now() at time zone 'utc')::date, 'm', 1, 1, 0, 0, 0, 1, $2, 0)`;

describe('quotas of owners', () => {
  let db: Db;
  let pool: Pool;
  let accept: Accept;
  before(async () => {
    ({ db, pool } = await connectToTestDatabase());
    accept = createAccept(db, { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 });
  });

  /** The quotas of one process. */
  function createQuotas(limits: Partial<OwnerLimits>): { quotas: OwnerQuotas; recorder: UsageRecorder } {
    const recorder = createUsageRecorder(db);
    const getLimits = async () => ({ ...noLimits, ...limits });
    return {
      quotas: createOwnerQuotas({ getLimits, readUsage: createUsageReader(db), recorder }),
      recorder,
    };
  }

  /** Resolves to whether the task was stored. */
  async function send(quotas: OwnerQuotas, task: ReturnType<typeof newTask>): Promise<boolean> {
    const wanted = { turn: true, openTasks: 1, storedBytes: countTaskBytes(task) };
    try {
      await quotas.store(task.owner, wanted, { run: () => accept(task), isStored: () => true });
      return true;
    } catch (error) {
      if (error instanceof QuotaExceededError) return false;
      throw error;
    }
  }

  async function countTasks(owner: string): Promise<number> {
    const rows = await db.selectFrom('tasks').select('id').where('owner', '=', owner).execute();
    return rows.length;
  }

  test('accepts exactly the limit of 1,000 messages sent at once', async () => {
    const { quotas } = createQuotas({ openTasks: 100 });
    const tenants = ['', 'a', 'b'];
    const sent = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) =>
        send(quotas, newTask({ owner: 'burst', tenant: tenants[index % 3] ?? '' })),
      ),
    );
    assert.equal(sent.filter(Boolean).length, 100);
    assert.equal(await countTasks('burst'), 100);
  });

  test('exceeds the limit by less than what other processes reserve at once', async () => {
    const processes = [1, 2, 3].map(() => createQuotas({ openTasks: 100 }).quotas);
    await Promise.all(
      Array.from({ length: 900 }, (_, index) => send(processes[index % 3]!, newTask({ owner: 'several' }))),
    );
    const accepted = await countTasks('several');
    assert.ok(accepted >= 100 && accepted <= 300, `${accepted} tasks`);
    // Refusals rely on a fresh view.
    const later = await Promise.all(processes.map((quotas) => send(quotas, newTask({ owner: 'several' }))));
    assert.deepEqual(later, [false, false, false]);
  });

  test('has room again when a task has ended', async () => {
    const { quotas } = createQuotas({ openTasks: 1 });
    const task = newTask({ owner: 'again' });
    assert.equal(await send(quotas, task), true);
    assert.equal(await send(quotas, newTask({ owner: 'again' })), false);
    await db
      .updateTable('tasks')
      .set({ state: 'TASK_STATE_COMPLETED' })
      .where('id', '=', task.taskId)
      .execute();
    await waitFor('room', () => send(quotas, newTask({ owner: 'again' })));
    assert.equal(await countTasks('again'), 2);
  });

  test('releases what was not stored', async () => {
    const { quotas, recorder } = createQuotas({ openTasks: 1, storedBytes: 10 });
    const wanted = { openTasks: 1, storedBytes: 10 };
    const fail = { run: () => Promise.reject(new Error('away')), isStored: () => true };
    await assert.rejects(quotas.store('released', wanted, fail), /away/);
    await quotas.store('released', wanted, { run: async () => undefined, isStored: () => false });
    assert.deepEqual(recorder.getPending('released'), { bytes: 0, webhookConfigs: 0 });
    await quotas.store('released', wanted, { run: async () => undefined, isStored: () => true });
    assert.deepEqual(recorder.getPending('released'), { bytes: 10, webhookConfigs: 0 });
  });

  test('counts bytes that are not in the database yet, and no bytes twice', async () => {
    const { quotas, recorder } = createQuotas({ storedBytes: 1_000 });
    const store = (storedBytes: number) =>
      quotas.store('bytes', { storedBytes }, { run: async () => undefined, isStored: () => true });
    await store(900);
    await assert.rejects(
      store(101),
      /Your tasks store 900 bytes, this message has 101, and your limit is 1000/,
    );
    await recorder.close();
    await store(100);
    await assert.rejects(store(1), QuotaExceededError);
  });

  test('refuses new turns at the cost limit of a day, until midnight', async () => {
    await pool.query(insertCost, ['spender', 5]);
    const { quotas } = createQuotas({ modelCostPerDay: 5 });
    const run = { run: async () => 'stored', isStored: () => true };
    assert.equal(await quotas.store('spender', { webhookConfigs: 1 }, run), 'stored');
    await assert.rejects(quotas.store('spender', { turn: true }, run), (error) => {
      assert.ok(error instanceof QuotaExceededError);
      assert.match(error.message, /have cost 5 since midnight UTC, and your limit per day is 5/);
      assert.ok(error.retryAfterSeconds > 0 && error.retryAfterSeconds <= 86_400);
      return true;
    });
    assert.equal(
      await createQuotas({ modelCostPerDay: 6 }).quotas.store('spender', { turn: true }, run),
      'stored',
    );
  });
});

describe('limits of owners on the wire', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let grpcTarget: string;
  const keyOf = (owner: string) => ({ 'x-api-key': `key-of-${owner}` });
  const owners = ['full', 'grown', 'hooked', 'spent', 'legacy', 'free'];

  before(async () => {
    const grpcPort = await freePort();
    grpcTarget = `127.0.0.1:${grpcPort}`;
    stack = await startStack(cleanup, {
      AUTH_MODES: 'api-key',
      API_KEYS: owners.map((owner) => `${owner}:${sha256(`key-of-${owner}`)}`).join(','),
      OWNER_MAX_OPEN_TASKS: '2',
      GRPC_PORT: String(grpcPort),
    });
    const limits: Record<string, Partial<OwnerLimits>> = {
      grown: { openTasks: 0, storedBytes: 2_000 },
      hooked: { webhookConfigs: 1 },
      spent: { modelCostPerDay: 1 },
      free: { openTasks: 0 },
    };
    for (const [owner, own] of Object.entries(limits)) {
      await stack.pool.query('insert into owner_limits (owner, limits) values ($1, $2)', [
        `key:${owner}`,
        JSON.stringify(own),
      ]);
    }
    await stack.start('api');
  });

  const newSend = (more: object = {}, configuration: object = {}) => ({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }], ...more },
    configuration: { returnImmediately: true, ...configuration },
  });
  const post = (owner: string, method: string, params: object) =>
    postJsonRpc(stack.apiUrl, method, params, { headers: keyOf(owner) });
  const call = (owner: string, method: string, params: object) => stack.rpc(method, params, keyOf(owner));

  test('refuses another open task on every binding, and accepts cancels and reads', async () => {
    const first = newSend();
    const { result } = await call('full', 'SendMessage', first);
    await call('full', 'SendMessage', { ...newSend(), tenant: 'other' });

    const refused = await post('full', 'SendMessage', newSend());
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('retry-after'), '10');
    const { error = assert.fail() } = (await refused.json()) as JsonRpcAnswer;
    assert.equal(error.code, -32603);
    assert.equal(
      error.message,
      'You have 2 open tasks, and your limit is 2: wait until one ends, or cancel one',
    );
    assert.deepEqual(error.data, [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: 'OWNER_LIMIT_EXCEEDED',
        domain: 'longhaul.dev',
        metadata: { limit: 'openTasks', used: '2', max: '2' },
      },
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '10s' },
    ]);
    const rest = createRawRest(stack.apiUrl);
    const overRest = await rest.call('SendMessage', newSend(), keyOf('full'));
    assert.deepEqual([overRest.error?.code, overRest.error?.reason], [429, 'OWNER_LIMIT_EXCEEDED']);
    const grpc = createRawGrpc(grpcTarget);
    cleanup.after(() => grpc.close());
    const overGrpc = await grpc.call('SendMessage', newSend(), keyOf('full'));
    assert.equal(overGrpc.error?.code, status.RESOURCE_EXHAUSTED);
    assert.match(overGrpc.error?.message ?? '', /You have 2 open tasks/);
    assert.equal(overGrpc.error?.retryAfter, '10');
    const streamed = await post('full', 'SendStreamingMessage', newSend());
    assert.equal(streamed.status, 429);

    const repeated = await call('full', 'SendMessage', first);
    assert.equal(repeated.result.task.id, result.task.id, 'the repeated message has its task');
    const followUp = await call('full', 'SendMessage', newSend({ taskId: result.task.id }));
    assert.equal(followUp.result.task.id, result.task.id, 'a further message opens no task');
    assert.equal((await call('full', 'GetTask', { id: result.task.id })).error, undefined);
    assert.equal((await call('free', 'SendMessage', newSend())).error, undefined);
    assert.equal((await call('full', 'CancelTask', { id: result.task.id })).error, undefined);
    await waitFor('room', async () => (await post('full', 'SendMessage', newSend())).status === 200);
  });

  test('refuses messages of 0.3 with the same status', async () => {
    const send = () =>
      fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...keyOf('legacy') },
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'message/send',
          params: {
            message: {
              kind: 'message',
              messageId: randomUUID(),
              role: 'user',
              parts: [{ kind: 'text', text: 'hello' }],
            },
            configuration: { blocking: false },
          },
        }),
      });
    assert.equal((await send()).status, 200);
    assert.equal((await send()).status, 200);
    const refused = await send();
    assert.equal(refused.status, 429);
    assert.match(((await refused.json()) as JsonRpcAnswer).error?.message ?? '', /You have 2 open tasks/);
  });

  test('refuses messages that exceed the stored bytes, also to an open task', async () => {
    const { result } = await call('grown', 'SendMessage', newSend({ parts: [{ text: 'x'.repeat(1_000) }] }));
    const large = { parts: [{ text: 'x'.repeat(1_000) }], taskId: result.task.id };
    const { error } = await call('grown', 'SendMessage', newSend(large));
    assert.match(error?.message ?? '', /Your tasks store 1\d{3} bytes, this message has 1\d{3}/);
    assert.equal((await call('grown', 'SendMessage', newSend({ taskId: result.task.id }))).error, undefined);
  });

  test('refuses another webhook config, and accepts a replacement', async () => {
    const webhook = { id: 'one', url: 'http://127.0.0.1:9/hook' };
    const { result } = await call(
      'hooked',
      'SendMessage',
      newSend({}, { taskPushNotificationConfig: webhook }),
    );
    const taskId: string = result.task.id;
    const create = (id: string) =>
      call('hooked', 'CreateTaskPushNotificationConfig', { ...webhook, taskId, id });
    const text = 'You have 1 webhook configs, and your limit is 1: delete one';
    assert.equal((await create('two')).error?.message, text);
    const withWebhook = newSend({}, { taskPushNotificationConfig: webhook });
    assert.equal((await call('hooked', 'SendMessage', withWebhook)).error?.message, text);
    assert.equal((await create('one')).error, undefined);
    assert.equal((await create('two')).error?.message, text);
    await call('hooked', 'DeleteTaskPushNotificationConfig', { taskId, id: 'one' });
    assert.equal((await create('two')).error, undefined);
  });

  test('reports when to try again after the cost of a day is reached', async () => {
    await stack.pool.query(insertCost, ['key:spent', 1.5]);
    const refused = await post('spent', 'SendMessage', newSend());
    assert.equal(refused.status, 429);
    const seconds = Number(refused.headers.get('retry-after'));
    assert.ok(seconds > 0 && seconds <= 86_400);
    const { error = assert.fail() } = (await refused.json()) as JsonRpcAnswer;
    assert.match(error.message, /Your tasks have cost 1.5 since midnight UTC, and your limit per day is 1/);
    assert.match(JSON.stringify(error.data), /"retryDelay":"\d+s"/);
  });
});
