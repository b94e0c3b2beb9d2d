/** Routes that act on several tasks or webhooks, and the stream of a timeline, over HTTP on a real database. */
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { before, describe, test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import type { Database } from '#shared/db/schema/schema.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { takeDrainRequest } from '#shared/db/ops/workers.ts';
import { createStatsReader } from '#shared/db/tasks/stats.ts';
import { createTurnWriter, type NewStep } from '#shared/db/turns/write.ts';
import { createTimelineFollower } from '#shared/db/views/timeline-follower.ts';
import { listOwnWebhooks } from '#shared/db/webhooks/health.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Wakeup } from '#shared/domain/wakeup.ts';
import { readAuth } from '#shared/runtime/config/auth.ts';
import { EnvReader } from '#shared/runtime/config/env-reader.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { createSigningSecret, decryptSecrets, encryptSecrets } from '#shared/webhooks/secrets.ts';
import { createPushConfigs } from '#services/api/handler/push-configs.ts';
import { PageTokens } from '#services/api/handler/page-token.ts';
import { createSend } from '#services/api/handler/send-message.ts';
import type { TasksRoutesParts } from '#services/api/extensions/tasks/routes.ts';
import { LargeWork } from '#shared/runtime/large-work.ts';
import { OpenStreams } from '#services/api/limits/open-streams.ts';
import { skipIfEncrypted } from '../../support/database/contents.ts';
import { aliceKey, apiKeysEnv, bobKey, sha256 } from '../../support/services/api-keys.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import {
  claimTask,
  createClaimedTask,
  newTask,
  newTurnEnd,
  newWebhook,
} from '../../support/database/new-task.ts';
import { findReads } from '../../support/database/plan.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { checkAnswers } from '../../support/clients/openapi.ts';
import { noLimits, unlimitedQuotas } from '../../support/services/quotas.ts';
import { readSse } from '../../support/clients/sse.ts';
import { encryptor, webhookTo } from '../../support/webhooks/webhooks.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- answers are read field by field, as a client would
type Json = any;

const { db, pool } = await connectToTestDatabase();
const alice = { tenant: '', owner: 'key:alice' };
const opsKey = { 'x-api-key': 'ops-key-of-a-test' };
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);
const accept = createAccept(db, options);

describe('acting on several tasks and webhooks', () => {
  const cleanup = createSuiteCleanup();
  const published: Wakeup[] = [];
  const timelines = createTimelineFollower(db, { pollMs: 20 });
  const errors: unknown[] = [];
  const streamEnds = new EventEmitter();
  let url: string;

  before(async () => {
    const log = Object.assign(createLogger('test', 'silent'), {
      error: (fields: unknown) => void errors.push(fields),
    });
    const env = apiKeysEnv();
    const pageTokens = new PageTokens([{ id: 'k', key: createSecretKey(Buffer.alloc(32)) }]);
    const common = {
      db,
      outbox: {
        publish: (wakeups: readonly Wakeup[]) => void published.push(...wakeups),
        publishAll: async () => undefined,
        idle: async () => undefined,
      },
      encryptor,
      quotas: unlimitedQuotas,
      wakeupGraceSeconds: 10,
      webhookRequestsPerMinute: 0,
      webhookGuard: { allowHosts: ['localhost'], ownHosts: [] },
      pageTokens,
      log,
    };
    const send = createSend({
      ...common,
      accept,
      storeDefinition: async () => {
        await storeAgent(db, 'h', {});
        return 'h';
      },
      taskSeconds: undefined,
      serviceTiers: [],
      mediaTypes: { input: ['text/plain'], output: ['text/plain'] },
      idempotencyWindowSeconds: 60,
      pushConfigs: createPushConfigs(common),
      largeWork: new LargeWork(),
      messageLimits: { parts: 100, urlParts: 20, partBytes: 10_000 },
      maxMessageBytes: 100_000,
    });
    const streams = new OpenStreams({ all: 10, perCaller: 10 });
    const open = streams.open.bind(streams);
    streams.open = (...call) => {
      const close = open(...call);
      return () => {
        close();
        streamEnds.emit('end');
      };
    };
    ({ url } = await startApiServer(
      cleanup,
      {},
      {
        auth: readAuth(
          new EnvReader({
            ...env,
            API_KEYS: `${env['API_KEYS']},ops:${sha256(opsKey['x-api-key'])} scopes=read+send+operator`,
          }),
        ),
        log,
        ops: { db, ownerLimits: { ...noLimits, openTasks: 1 }, log },
        tasks: {
          ...common,
          send,
          timelines,
          streams,
          feed: {} as TasksRoutesParts['feed'],
          readStats: createStatsReader(db),
        },
        webhooks: { ...common, getLimits: async () => noLimits, signing: { keys: [] } },
      },
    ));
    await checkAnswers(cleanup, url);
  });

  async function call(
    path: string,
    body?: object,
    headers: Record<string, string> = aliceKey,
  ): Promise<{ status: number; body: Json }> {
    const response = await fetch(`${url}/a2a/v1${path}`, {
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  }

  async function createFailedTask(more: Parameters<typeof newTask>[0] = {}): Promise<string> {
    const { lease } = await createClaimedTask(db, { ...alice, ...more });
    await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_FAILED') });
    return lease.taskId;
  }

  const readTask = (id: string) =>
    db.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

  test('cancels tasks one by one, and nothing in a dry run', async () => {
    const open = newTask(alice);
    await accept(open);
    const ended = await createFailedTask();
    const taskIds = [open.taskId, ended, uuidv7(), 'nonsense', ended];
    const outcomes = async (dryRun: boolean) => {
      const { status, body } = await call('/tasks:cancel', { taskIds, dryRun });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.dryRun, dryRun);
      return body.results.map(({ outcome, state }: Json) => [outcome, state]);
    };
    const others = [
      ['ended', 'TASK_STATE_FAILED'],
      ['not_found', undefined],
      ['not_found', undefined],
    ];
    assert.deepEqual(await outcomes(true), [['canceled', 'TASK_STATE_SUBMITTED'], ...others]);
    assert.equal((await readTask(open.taskId)).state, 'TASK_STATE_SUBMITTED');
    assert.deepEqual(await outcomes(false), [['canceled', 'TASK_STATE_CANCELED'], ...others]);
    assert.deepEqual((await outcomes(false))[0], ['ended', 'TASK_STATE_CANCELED']);
  });

  test('reruns an ended task as a new one, once for each request id', { skip: skipIfEncrypted }, async () => {
    const secret = createSigningSecret();
    const webhook = webhookTo('http://localhost:9/hook', {
      token: 't',
      signingSecret: secret,
      events: 'end',
    });
    const taskId = uuidv7();
    await createFailedTask({
      taskId,
      contextId: 'conversation',
      metadata: JSON.stringify({
        own: 1,
        'https://longhaul.dev/ext/schedule/v1': { deadline: '2026-01-01T00:00:00Z' },
        'https://longhaul.dev/ext/priority/v1': 3,
      }),
      webhook: encryptSecrets(encryptor, taskId, webhook),
    });
    const body = { taskIds: [taskId], requestId: 'again' };
    const dry = await call('/tasks:rerun', { ...body, dryRun: true });
    assert.deepEqual(dry.body, { dryRun: true, results: [{ taskId, outcome: 'started' }] });
    const first = await call('/tasks:rerun', body);
    const { newTaskId } = first.body.results[0];
    assert.notEqual(newTaskId, undefined, JSON.stringify(first.body));
    assert.deepEqual((await call('/tasks:rerun', body)).body, first.body);

    const task = await readTask(newTaskId);
    assert.deepEqual(
      [task.state, task.context_id, task.owner],
      ['TASK_STATE_SUBMITTED', 'conversation', 'key:alice'],
    );
    const { [webhooksExtensionUri]: kept, ...metadata } = task.metadata as Json;
    assert.deepEqual(metadata, { own: 1, 'https://longhaul.dev/ext/priority/v1': 3 });
    assert.deepEqual(kept, { events: 'end', order: 'strict' });
    const messages = await db
      .selectFrom('messages')
      .select('message')
      .where('task_id', '=', newTaskId)
      .execute();
    assert.deepEqual(
      messages.map(({ message }) => message.parts),
      [[{ text: 'hello' }]],
    );
    const config = await db
      .selectFrom('webhook_configs')
      .select(['id', 'token', 'auth_credentials as authCredentials', 'signing_secret as signingSecret'])
      .where('task_id', '=', newTaskId)
      .executeTakeFirstOrThrow();
    const decrypted = decryptSecrets(encryptor, newTaskId, config);
    assert.deepEqual([decrypted.token, decrypted.signingSecret], ['t', secret]);
    assert.ok(published.some((wakeup) => wakeup.kind === 'turn' && wakeup.taskId === newTaskId));

    const elsewhere = await call('/tasks:rerun', { taskIds: [taskId, newTaskId], newContext: true });
    const [moved, open] = elsewhere.body.results;
    assert.notEqual((await readTask(moved.newTaskId)).context_id, 'conversation');
    assert.deepEqual(open, { taskId: newTaskId, outcome: 'not_ended' });
  });

  test(
    'runs a turn again from a step, and stops the attempt that runs',
    { skip: skipIfEncrypted },
    async () => {
      const { lease } = await createClaimedTask(db, alice);
      const { taskId } = lease;
      const step = (name: string, position: number, output: string | null = '1'): NewStep => ({
        name,
        occurrence: 0,
        position,
        inputHash: null,
        output,
      });
      const post = step('post', 2, null);
      const created = step('interaction', 3, `{"id":"v1_${taskId}"}`);
      await write({ lease, steps: [step('plan', 0), step('fetch', 1), post, created] });
      const body = { taskIds: [taskId], fromStep: { name: 'fetch' } };
      const expected = {
        taskId,
        outcome: 'restarted',
        turn: 1,
        steps: [
          { name: 'fetch', occurrence: 0 },
          { name: 'post', occurrence: 0 },
          { name: 'interaction', occurrence: 0 },
        ],
      };
      const restart = async (more: object = {}) =>
        (await call('/tasks:rerun', { ...body, ...more })).body.results[0];
      assert.deepEqual(await restart({ dryRun: true }), expected);
      await write({ lease, steps: [] });
      assert.deepEqual(await restart(), expected);
      await assert.rejects(write({ lease, steps: [] }), { name: 'LeaseLostError' });
      const undeleted = db.selectFrom('stored_calls').select('interaction');
      assert.equal((await undeleted.where('interaction', '=', `v1_${taskId}`).execute()).length, 1);
      const { body: timeline } = await call(`/tasks/${taskId}/timeline`);
      assert.deepEqual(
        timeline.turns[0].attempts.map(({ outcome }: Json) => outcome),
        ['restarted'],
      );
      assert.deepEqual(
        timeline.turns[0].steps.map(({ name }: Json) => name),
        ['plan'],
      );
      const next = await claimTask(db, taskId);
      assert.deepEqual([next.attempts, next.crashed], [1, false]);
      assert.match((await restart()).message, /turn 1 has not recorded fetch \(occurrence 0\): it has plan/);

      const spawned = { ...step('fan out', 1), output: JSON.stringify({ group: uuidv7(), taskIds: [] }) };
      await write({ lease: next.lease, steps: [spawned] });
      const { group } = JSON.parse(spawned.output);
      await db
        .insertInto('child_groups')
        .values({ id: group, parent_id: taskId, size: 0, depth: 1 })
        .execute();
      const refused = await restart({ fromStep: { name: 'plan' } });
      assert.equal(refused.outcome, 'refused');
      assert.match(refused.message, /fan out \(occurrence 0\) has started child tasks/);

      await write({ lease: next.lease, finish: newTurnEnd(taskId, 'TASK_STATE_FAILED') });
      assert.match((await restart()).message, /has ended, which is final/);
    },
  );

  for (const [kind, names] of [
    ['at Google', ['interaction-wait', 'interaction', 'model']],
    ['in a batch', ['batch-wait', 'batch', 'model']],
  ] as const) {
    test(`runs a call of the model ${kind} again as a whole`, async () => {
      const { lease } = await createClaimedTask(db, alice);
      const wait = { wait: { kind: 'model' as const }, dueInSeconds: 60, token: uuidv7() };
      const [waited, made, replied] = names;
      const steps = [
        { name: 'plan', output: '1' },
        { name: waited, output: '{"status":"ended"}', wait },
        { name: made, output: '{"id":"v1_again"}' },
        { name: replied, output: '{"interaction":"v1_again"}' },
      ].map((step, position) => ({ ...step, position, occurrence: 0, inputHash: null }));
      await write({ lease, steps });
      for (const name of names) {
        const body = { taskIds: [lease.taskId], fromStep: { name }, dryRun: true };
        const [{ steps: again }] = (await call('/tasks:rerun', body)).body.results;
        assert.deepEqual(
          again.map((step: Json) => step.name),
          names,
        );
      }
    });
  }

  test('refuses bodies that it cannot follow exactly', async () => {
    const taskIds = [uuidv7()];
    const cases: [string, object, RegExp][] = [
      ['/tasks:cancel', { taskIds, dry_run: true }, /"dry_run" is not a field/],
      ['/tasks:cancel', { taskIds: [] }, /taskIds must be a list of 1 to 100/],
      [
        '/tasks:cancel',
        { taskIds: Array.from({ length: 101 }, () => 'x') },
        /taskIds must be a list of 1 to 100/,
      ],
      ['/tasks:cancel', { taskIds, dryRun: 'yes' }, /dryRun must be true or false/],
      ['/tasks:cancel', { taskIds: [1] }, /as strings/],
      ['/tasks:rerun', { taskIds, fromStep: 'model' }, /fromStep must be an object/],
      ['/tasks:rerun', { taskIds: ['a', 'b'], fromStep: { name: 'x' } }, /one id/],
      ['/tasks:rerun', { taskIds, fromStep: { name: 'x' }, requestId: 'r' }, /starts no task/],
      ['/tasks:rerun', { taskIds, requestId: 'x'.repeat(129) }, /at most 128/],
      ['/webhooks:redeliver', {}, /since must be a time/],
      ['/webhooks:redeliver', { since: '2026-01-01', health: 'ok' }, /health must be/],
      ['/webhooks:redeliver', { since: '2026-01-01', webhooks: [{ taskId: 'x' }] }, /each of webhooks/],
      [
        '/webhooks:redeliver',
        { since: '2026-01-01', webhooks: [{ taskId: 'x', id: 'y' }], host: 'a' },
        /combined/,
      ],
    ];
    for (const [path, body, message] of cases) {
      const answer = await call(path, body);
      assert.equal(answer.status, 400, JSON.stringify(body));
      assert.match(answer.body.error.message, message);
    }
  });

  /** Creates a task with a webhook of some health, whose last two events have failed or wait. */
  async function createWebhook(health: 'ok' | 'failing' | 'disabled', host = 'localhost'): Promise<string> {
    const task = newTask({
      ...alice,
      tenant: 'hooks',
      webhook: newWebhook({ id: 'hook', url: `http://${host}/` }),
    });
    const { taskId } = task;
    await accept(task);
    if (health === 'ok') return taskId;
    const failed = health === 'disabled';
    await db
      .updateTable('webhook_configs')
      .set({ failures: 2, ...(failed && { disabled_at: new Date(), disabled_reason: 'gone' }) })
      .where('task_id', '=', taskId)
      .execute();
    await db
      .updateTable('deliveries')
      .set({
        state: failed ? 'failed' : 'pending',
        failures: 2,
        settled_at: failed ? new Date() : null,
        due_at: new Date(Date.now() + 60_000),
      })
      .where('task_id', '=', taskId)
      .execute();
    const at = new Date();
    const attempt = {
      task_id: taskId,
      config_id: 'hook',
      seq: 1,
      started_at: at,
      duration_ms: 3,
      status: 500,
    };
    await db
      .insertInto('delivery_attempts')
      .values([1, 2].map((number) => ({ ...attempt, attempt: number, error: null, response_start: 'busy' })))
      .execute();
    return taskId;
  }

  test('lists webhooks by health in pages, and redelivers a selection', async () => {
    const ok = await createWebhook('ok');
    const failing = [await createWebhook('failing'), await createWebhook('failing', 'other.example:8443')];
    const disabled = [await createWebhook('disabled'), await createWebhook('disabled', 'other.example:8443')];
    const expected = [...disabled.toReversed(), ...failing.toReversed(), ok];
    const listed: Json[] = [];
    for (let token = ''; ;) {
      const { status, body } = await call(`/hooks/webhooks?pageSize=2&pageToken=${token}`);
      assert.equal(status, 200, JSON.stringify(body));
      listed.push(...body.webhooks);
      token = body.nextPageToken;
      if (token === '') break;
    }
    assert.deepEqual(
      listed.map(({ taskId }) => taskId),
      expected,
    );
    assert.deepEqual(
      listed.map(({ health }) => health),
      ['disabled', 'disabled', 'failing', 'failing', 'ok'],
    );
    const { startedAt, ...last } = listed[0].lastAttempt;
    assert.deepEqual(last, { event: 1, attempt: 2, durationMs: 3, status: 500, responseStart: 'busy' });
    assert.ok(Date.parse(startedAt) > 0);
    const find = async (query: string) =>
      (await call(`/hooks/webhooks?${query}`)).body.webhooks.map(({ taskId }: Json) => taskId);
    assert.deepEqual(await find('health=failing'), failing.toReversed());
    assert.deepEqual(await find('host=OTHER.example:8443'), [disabled[1], failing[1]]);
    assert.deepEqual(await find('health=ok&host=nowhere.example'), []);

    const since = new Date(Date.now() - 60_000).toISOString();
    const redeliver = async (body: object) =>
      (await call('/hooks/webhooks:redeliver', { since, ...body })).body;
    const counted = await redeliver({ dryRun: true });
    assert.deepEqual([counted.count, counted.webhooks.length, counted.nextPageToken], [4, 4, '']);
    const some = await redeliver({ host: 'other.example:8443', health: 'disabled' });
    assert.deepEqual(some.webhooks, [{ taskId: disabled[1], id: 'hook', outcome: 'redelivered', count: 1 }]);
    assert.deepEqual(await find('health=disabled'), [disabled[0]]);
    const named = await redeliver({
      webhooks: [disabled[0], ok, uuidv7(), 'x'].map((taskId) => ({ taskId, id: 'hook' })),
    });
    assert.deepEqual(
      named.webhooks.map(({ outcome }: Json) => outcome),
      ['redelivered', 'nothing', 'not_found', 'not_found'],
    );
    assert.ok(published.some((wakeup) => wakeup.kind === 'delivery' && wakeup.taskId === disabled[0]));
    const foreign = await call('/hooks/webhooks', undefined, bobKey);
    assert.deepEqual(foreign.body, { webhooks: [], nextPageToken: '' });
  });

  test('finds webhooks by an index', async () => {
    await pool.query(
      `insert into webhook_configs (task_id, id, tenant, owner, url, events, protocol_version, failures)
       select gen_random_uuid(), 'h', '', 'key:many', 'http://x/', 'all', '1.0', i % 50 / 49 from generate_series(1, 5000) i`,
    );
    await pool.query('analyze webhook_configs');
    const queries: CompiledQuery[] = [];
    const logged = new Kysely<Database>({
      dialect: new PostgresDialect({ pool }),
      log: ({ query }) => void queries.push(query),
    });
    const after = { health: 1, taskId: uuidv7(), id: 'h' };
    await listOwnWebhooks(
      logged,
      { tenant: '', owner: 'key:many' },
      { health: ['ok', 'disabled'] },
      { size: 50, after },
    );
    const [query] = queries;
    const { rows } = await pool.query(`explain (format json) ${query!.sql}`, [...query!.parameters]);
    const plan = rows[0]['QUERY PLAN'][0].Plan;
    const [read] = findReads(plan, 'webhook_configs').filter(
      (node) => node['Index Name'] !== 'webhook_configs_pkey',
    );
    assert.equal(read?.['Index Name'], 'webhook_configs_by_health');
    assert.match(JSON.stringify(read), /"Index Cond":"[^"]*ROW\(/);
  });

  test('streams a timeline and its changes, and continues after a part', { timeout: 20_000 }, async () => {
    const { lease } = await createClaimedTask(db, alice);
    const { taskId } = lease;
    const open = (headers: Record<string, string> = {}, key = aliceKey) =>
      fetch(`${url}/a2a/v1/tasks/${taskId}/timeline`, {
        headers: { accept: 'text/event-stream', ...key, ...headers },
      });
    assert.equal((await open({}, bobKey)).status, 404);
    const missing = await fetch(`${url}/a2a/v1/tasks/${uuidv7()}/timeline`, {
      headers: { accept: 'text/event-stream', ...aliceKey },
      signal: AbortSignal.timeout(10_000),
    });
    assert.equal(missing.status, 404);
    assert.equal((await open({ 'last-event-id': 'x' })).status, 400);
    const parts = readSse(await open());
    const read = async () => (await parts.next()).value!;
    const { data: whole, id } = await read();
    assert.deepEqual([whole.turns[0].attempts.length, whole.turns[0].steps, whole.events.length], [1, [], 2]);
    await write({ lease, steps: [{ name: 'a', occurrence: 0, position: 0, inputHash: null, output: '1' }] });
    const { data: change } = await read();
    assert.deepEqual(
      change.turns[0].steps.map(({ name }: Json) => name),
      ['a'],
    );
    assert.deepEqual([change.turns[0].attempts, change.events], [[], []]);
    await write({ lease, finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED') });
    const { data: end, id: lastId } = await read();
    assert.deepEqual([end.state, end.events.length], ['TASK_STATE_COMPLETED', 1]);
    assert.equal(end.turns[0].attempts[0].outcome, 'finished');
    assert.equal((await parts.next()).done, true);
    const resumed = readSse(await open({ 'last-event-id': String(id) }));
    const { data: missed } = (await resumed.next()).value!;
    assert.equal(missed.turns[0].steps.length, 1);
    assert.equal((await open({ 'last-event-id': String(lastId) })).status, 204);
  });

  test('logs no error when a client leaves its stream', async () => {
    const { lease } = await createClaimedTask(db, alice);
    const path = `/tasks/${lease.taskId}/timeline`;
    const response = await fetch(`${url}/a2a/v1${path}`, {
      headers: { accept: 'text/event-stream', ...aliceKey },
    });
    const reader = response.body!.getReader();
    await reader.read();
    const ended = once(streamEnds, 'end');
    await reader.cancel();
    await ended;
    // Answered after everything that the server does when a client has left.
    await call(path);
    assert.deepEqual(errors, []);
  });

  test('reports waiting work and workers to operators, and nothing to others', async () => {
    const running = await createClaimedTask(db, { ...alice, tenant: 'ops' });
    const [failing, overdue, stalled] = [newTask(alice), newTask(alice), newTask(alice)];
    for (const task of [failing, overdue, stalled]) await accept(task);
    await db.insertInto('owner_usage').values({ owner: 'key:alice', bytes: '1' }).execute();
    const past = new Date(Date.now() - 60_000);
    const change = (id: string, values: object) =>
      db.updateTable('gates').set(values).where('task_id', '=', id).execute();
    await change(failing.taskId, { failing_since: past, failures: 3 });
    await change(overdue.taskId, { deadline_at: past });
    await change(stalled.taskId, { wakeup_at: past });
    const get = async (path: string, key = opsKey) => (await call(path, undefined, key)).body;
    const listIds = async (kind: string) =>
      (await get(`/ops/work?kind=${kind}`)).work.map(({ taskId }: Json) => taskId);
    assert.ok((await listIds('failing')).includes(failing.taskId));
    assert.ok((await listIds('overdue')).includes(overdue.taskId));
    assert.ok((await listIds('stalled')).includes(stalled.taskId));
    assert.deepEqual(await listIds('parked'), []);
    assert.ok((await get('/ops/backlog')).turnsLeased > 0);
    const { workers } = await get('/ops/workers');
    assert.deepEqual([workers[0].worker, workers[0].draining], ['w1', false]);
    const { owners } = await get('/ops/owners');
    assert.deepEqual([owners[0].owner, owners[0].near], ['key:alice', ['openTasks']]);
    assert.ok((await get('/ops/hosts')).hosts.every(({ host }: Json) => typeof host === 'string'));
    assert.deepEqual(await get('/ops/models'), { models: [] });

    const post = async (path: string, body: object, key = opsKey) => call(path, body, key);
    const woken = await post('/ops/turns:wake', { taskIds: [stalled.taskId, running.lease.taskId, 'x'] });
    assert.deepEqual(woken.body, { taskIds: [stalled.taskId] });
    assert.equal((await post('/ops/turns:wake', { stalled: true, taskIds: ['x'] })).status, 400);
    assert.equal((await post('/ops/workers:drain', { worker: 'none' })).status, 404);
    assert.deepEqual((await post('/ops/workers:drain', { worker: 'w1' })).body, { worker: 'w1' });
    assert.equal((await get('/ops/workers')).workers[0].draining, true);
    assert.deepEqual(
      [await takeDrainRequest(db, 'w1'), await takeDrainRequest(db, 'w1')],
      ['exit', undefined],
    );

    for (const path of ['/ops/backlog', '/ops/work?kind=parked', '/ops/usage', '/search?owner=key:bob']) {
      assert.equal((await call(path)).status, 403, path);
    }
    const refused = await post('/ops/turns:wake', { stalled: true }, aliceKey);
    assert.match(refused.body.error.message, /needs the scope operator/);
  });

  test('reports the usage of the most costly owners by day, over their tenants', async () => {
    const entry = {
      prompt_tokens: '2',
      cached_tokens: '0',
      tool_tokens: '0',
      thought_tokens: '1',
      output_tokens: '3',
    };
    const add = (owner: string, tenant: string, day: string, cost: number) =>
      db
        .insertInto('ledger')
        .values({ owner, tenant, day, model: `m${tenant}`, calls: '1', unpriced: '0', cost, ...entry })
        .execute();
    await add('dear', '', '2030-01-01', 5);
    await add('dear', 'b', '2030-01-01', 2);
    await add('dear', '', '2030-01-03', 1);
    await add('cheap', '', '2030-01-02', 1);
    const get = (query: string) =>
      call(`/ops/usage?since=2030-01-01&until=2030-01-02${query}`, undefined, opsKey);
    const tokens = { prompt: 4, cached: 0, tool: 0, thoughts: 2, output: 6 };
    const dear = { day: '2030-01-01', owner: 'dear', calls: 2, tokens, cost: 7, unpriced: 0 };
    const { body } = await get('');
    assert.deepEqual(
      body.lines.map(({ owner, day }: Json) => [owner, day]),
      [
        ['cheap', '2030-01-02'],
        ['dear', '2030-01-01'],
      ],
    );
    assert.deepEqual((await get('&pageSize=1')).body, {
      since: '2030-01-01',
      until: '2030-01-02',
      lines: [dear],
    });
    assert.equal((await get('&pageSize=101')).status, 400);
  });

  test('names the scopes of the credential in every answer', async () => {
    const read = async (path: string, headers: Record<string, string>) =>
      (await fetch(`${url}/a2a/v1${path}`, { headers })).headers.get('longhaul-scopes');
    assert.equal(await read('/search', aliceKey), 'read, send');
    assert.equal(await read('/ops/backlog', aliceKey), 'read, send');
    assert.equal(await read('/search', opsKey), 'read, send, operator');
  });

  test('lets operators act for an owner', async () => {
    const taskId = await createFailedTask();
    const asAlice = '?owner=key:alice';
    const found = await call(`/tasks/${taskId}/timeline${asAlice}`, undefined, opsKey);
    assert.equal(found.body.taskId, taskId);
    assert.equal((await call(`/tasks/${taskId}/timeline`, undefined, opsKey)).status, 404);
    const { body } = await call(`/tasks:rerun${asAlice}`, { taskIds: [taskId] }, opsKey);
    assert.equal((await readTask(body.results[0].newTaskId)).owner, 'key:alice');
  });
});
