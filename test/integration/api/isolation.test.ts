/**
 * A caller sees only its own tasks (invariant 9). In every operation, other callers get exactly the answer for a missing
 * task. test/integration/trust/owners.test.ts has the routes of extensions.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { uuidv7 } from '#shared/domain/ids.ts';
import { skipIfEncrypted } from '../../support/database/contents.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import type { JsonRpcAnswer } from '../../support/clients/json-rpc.ts';
import { readSse } from '../../support/clients/sse.ts';
import { startStack, type Stack, type TaskJson } from '../../support/stack.ts';

interface TestCaller {
  key: Record<string, string>;
  tenant: string;
}

describe('isolation of callers and tenants', () => {
  const alice: TestCaller = { key: aliceKey, tenant: 'red' };
  const bob: TestCaller = { key: bobKey, tenant: 'red' };
  const aliceInBlue: TestCaller = { key: aliceKey, tenant: 'blue' };
  const others: TestCaller[] = [bob, aliceInBlue, { key: aliceKey, tenant: '' }];

  const cleanup = createSuiteCleanup();
  let stack: Stack;
  before(async () => {
    stack = await startStack(cleanup, apiKeysEnv());
    await stack.start('api');
  });

  function call(
    { key, tenant }: TestCaller,
    method: string,
    params: object,
    headers: Record<string, string> = {},
  ): Promise<JsonRpcAnswer> {
    return stack.rpc(method, { ...params, ...(tenant !== '' && { tenant }) }, { ...key, ...headers });
  }

  function createSend(text: string, more: object = {}): object {
    return {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...more },
      configuration: { returnImmediately: true },
    };
  }

  async function submit(caller: TestCaller, text: string, more: object = {}): Promise<TaskJson> {
    const { result, error } = await call(caller, 'SendMessage', createSend(text, more));
    assert.equal(error, undefined);
    return result.task;
  }

  // [AUTH-SCOPE-001] [AUTH-SCOPE-003] [PUSH-GET-002]
  test('reports the task of another caller as missing in every operation', async () => {
    const task = await submit(alice, 'hers');
    const webhook = { taskId: task.id, id: 'hook', url: 'http://127.0.0.1:9/hook' };
    assert.equal((await call(alice, 'CreateTaskPushNotificationConfig', webhook)).error, undefined);
    const missing = uuidv7();
    const operations: [string, (id: string) => object, Record<string, string>?][] = [
      ['GetTask', (id) => ({ id })],
      ['CancelTask', (id) => ({ id })],
      ['SubscribeToTask', (id) => ({ id })],
      ['SubscribeToTask', (id) => ({ id }), { 'last-event-id': '1' }],
      ['SendMessage', (taskId) => createSend('for a foreign task', { taskId })],
      ['SendStreamingMessage', (taskId) => createSend('for a foreign task', { taskId })],
      ['SendMessage', (taskId) => createSend('in its context', { taskId, contextId: task.contextId })],
      [
        'SendMessage',
        (taskId) => ({
          ...createSend('with a webhook', { taskId }),
          configuration: { taskPushNotificationConfig: { url: 'http://127.0.0.1:9/' } },
        }),
      ],
      ['CreateTaskPushNotificationConfig', (taskId) => ({ ...webhook, taskId, id: 'theirs' })],
      ['CreateTaskPushNotificationConfig', (taskId) => ({ ...webhook, taskId })],
      ['GetTaskPushNotificationConfig', (taskId) => ({ taskId, id: 'hook' })],
      ['ListTaskPushNotificationConfigs', (taskId) => ({ taskId })],
      ['DeleteTaskPushNotificationConfig', (taskId) => ({ taskId, id: 'hook' })],
    ];
    for (const [method, params, headers] of operations) {
      const expected = JSON.stringify((await call(alice, method, params(missing), headers)).error);
      assert.ok(expected?.includes('-32001'), `${method} on a missing task: ${expected}`);
      for (const caller of others) {
        const { error } = await call(caller, method, params(task.id), headers);
        assert.equal(
          JSON.stringify(error)?.replaceAll(task.id, missing),
          expected,
          `${method} by ${JSON.stringify(caller)}`,
        );
      }
    }
    const { result } = await call(alice, 'GetTask', { id: task.id });
    assert.equal(result.status.state, 'TASK_STATE_SUBMITTED');
    assert.equal(result.history.length, 1);
    const { result: page } = await call(alice, 'ListTaskPushNotificationConfigs', { taskId: task.id });
    assert.equal(page.configs.length, 1);
  });

  /** Sends a request to a route below the HTTP+JSON binding. */
  async function request(
    { key, tenant }: TestCaller,
    route: string,
  ): Promise<{ status: number; body: string }> {
    const [method = '', path = ''] = route.split(' ');
    const prefix = tenant === '' ? '' : `/${tenant}`;
    const response = await fetch(`${stack.apiUrl}/a2a/v1${prefix}${path}`, { method, headers: key });
    return { status: response.status, body: await response.text() };
  }

  test('finds and counts only the tasks of the caller', { skip: skipIfEncrypted }, async () => {
    const color = `color-${randomUUID()}`;
    const { result } = await call(alice, 'SendMessage', { ...createSend('hers'), metadata: { [color]: 1 } });
    const { id } = result.task;
    await stack.pool.query(
      `insert into ledger values ('red', 'key:alice', (now() at time zone 'utc')::date, $1, 1, 10, 0, 0, 0, 5, 0.5, 0)`,
      [color],
    );
    const routes = [`/search?metadataKey=${color}&state=TASK_STATE_SUBMITTED`, '/usage', '/stats'];
    const read = (caller: TestCaller) =>
      Promise.all(routes.map(async (route) => JSON.parse((await request(caller, `GET ${route}`)).body)));
    const [found, usage, stats] = await read(alice);
    assert.deepEqual(
      found.tasks.map(({ taskId }: { taskId: string }) => taskId),
      [id],
    );
    const [line] = usage.lines.filter(({ model }: { model: string }) => model === color);
    assert.deepEqual([line.calls, line.tokens.output, line.cost], [1, 5, 0.5]);
    assert.ok(stats.states.TASK_STATE_SUBMITTED > 0);
    const { rows } = await stack.pool.query(
      `select owner, tenant, count(*)::int from tasks where state = 'TASK_STATE_SUBMITTED' group by 1, 2`,
    );
    for (const caller of others) {
      const [foundByOther, usageOfOther, statsOfOther] = await read(caller);
      assert.deepEqual(foundByOther, { tasks: [], nextPageToken: '' });
      assert.ok(!JSON.stringify(usageOfOther).includes(color));
      const owner = caller.key === bobKey ? 'key:bob' : 'key:alice';
      const own = rows.find((row) => row.owner === owner && row.tenant === caller.tenant)?.count ?? 0;
      assert.equal(statsOfOther.states.TASK_STATE_SUBMITTED, own);
    }
  });

  test('refuses wrong parameters of the tasks extension by name', async () => {
    for (const [path, name] of [
      ['/search?state=DONE', 'state'],
      ['/search?createdSince=yesterday', 'createdSince'],
      ['/search?error=', 'error'],
      [`/search?agent=${'x'.repeat(201)}`, 'agent'],
      ['/search?webhook=bad', 'webhook'],
      ['/search?pageSize=0', 'pageSize'],
      ['/search?pageToken=x', 'pageToken'],
      ['/usage?since=2026-02-30', 'since'],
      ['/usage?since=2020-01-01', 'since'],
      ['/webhooks?health=bad', 'health'],
      ['/webhooks?host=a/b', 'host'],
      ['/webhooks?pageToken=x', 'pageToken'],
    ] as const) {
      const { status, body } = await request(alice, `GET ${path}`);
      assert.equal(status, 400, path);
      assert.ok(JSON.parse(body).error.message.startsWith(name), body);
    }
  });

  test('shows in a feed only the tasks of the caller', async () => {
    const everyone = [alice, ...others];
    const feeds = await Promise.all(
      everyone.map(({ key, tenant }) =>
        fetch(`${stack.apiUrl}/a2a/v1${tenant === '' ? '' : `/${tenant}`}/feed`, { headers: key }),
      ),
    );
    const ids: string[] = [];
    for (const caller of everyone) ids.push((await submit(caller, 'one for each')).id);
    for (const [index, feed] of feeds.entries()) {
      // Each sees its own task first, though those of others were created before it or together with it.
      for await (const { data } of readSse(feed)) {
        assert.equal(data.taskId, ids[index]);
        break;
      }
    }
    const [refused] = await Promise.all([
      fetch(`${stack.apiUrl}/a2a/v1/feed`, { headers: { ...aliceKey, 'last-event-id': '99999999999999' } }),
      ...feeds.map((feed) => feed.body?.cancel().catch(() => undefined)),
    ]);
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), /Last-Event-ID/);
  });

  // [AUTH-SCOPE-002] [CORE-LIST-001]
  test('lists only the tasks of the caller, even within a shared context id', async () => {
    const hers = await submit(alice, 'hers', { contextId: randomUUID() });
    const { contextId } = hers;
    const his = await submit(bob, 'his, in a context with the same id', { contextId });
    assert.notEqual(his.id, hers.id);
    for (const filter of [{ contextId }, { contextId, status: 'TASK_STATE_SUBMITTED' }]) {
      const listIds = async (caller: TestCaller): Promise<string[]> =>
        (await call(caller, 'ListTasks', filter)).result.tasks.map(({ id }: TaskJson) => id);
      assert.deepEqual(await listIds(alice), [hers.id]);
      assert.deepEqual(await listIds(bob), [his.id]);
      assert.deepEqual(await listIds(aliceInBlue), []);
      assert.equal((await call(bob, 'ListTasks', filter)).result.totalSize, 1);
    }
    for (const [caller, foreign] of [
      [alice, his],
      [bob, hers],
      [aliceInBlue, his],
      [aliceInBlue, hers],
    ] as const) {
      const { result } = await call(caller, 'ListTasks', { pageSize: 100 });
      assert.ok(result.tasks.every(({ id }: TaskJson) => id !== foreign.id));
    }
  });

  test('treats the same messageId of several callers as separate messages', async () => {
    const messageId = randomUUID();
    const everyone = [alice, ...others];
    const submitAll = () =>
      Promise.all(everyone.map((caller) => submit(caller, 'once for each', { messageId })));
    const ids = (await submitAll()).map(({ id }) => id);
    assert.equal(new Set(ids).size, everyone.length);
    assert.deepEqual(
      (await submitAll()).map(({ id }) => id),
      ids,
    );
  });

  test('refuses the page token of another caller', async () => {
    for (let i = 0; i < 2; i += 1) await submit(alice, 'two tasks, for a second page');
    const { result } = await call(alice, 'ListTasks', { pageSize: 1 });
    assert.ok(result.nextPageToken);
    const page = { pageSize: 1, pageToken: result.nextPageToken };
    for (const caller of others) {
      const { error } = await call(caller, 'ListTasks', page);
      assert.equal(error?.code, -32602);
      assert.match(error.message, /pageToken/);
    }
    assert.equal((await call(alice, 'ListTasks', page)).result.tasks.length, 1);
  });
});
