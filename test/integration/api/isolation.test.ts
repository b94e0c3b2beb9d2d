/**
 * A caller sees only its own (invariant 9): to everybody else, in each operation, a task is as one that does not exist,
 * down to the form of the answer.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { uuidv7 } from '#shared/domain/ids.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/api-keys.ts';
import type { JsonRpcAnswer } from '../../support/json-rpc.ts';
import { startStack, type TaskJson } from '../../support/stack.ts';

test('to other callers and in other tenants, a task is as one that does not exist', async (t) => {
  const stack = await startStack(t, apiKeysEnv());
  await stack.start('api');

  interface Who {
    key: Record<string, string>;
    tenant: string;
  }
  const alice: Who = { key: aliceKey, tenant: 'red' };
  const others: Who[] = [
    { key: bobKey, tenant: 'red' },
    { key: aliceKey, tenant: 'blue' },
    { key: aliceKey, tenant: '' },
  ];
  const call = (
    { key, tenant }: Who,
    method: string,
    params: object,
    headers: Record<string, string> = {},
  ): Promise<JsonRpcAnswer> =>
    stack.rpc(method, { ...params, ...(tenant !== '' && { tenant }) }, { ...key, ...headers });
  const message = (text: string, more: object = {}) => ({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...more },
    configuration: { returnImmediately: true },
  });
  const submit = async (who: Who, text: string, more: object = {}): Promise<TaskJson> => {
    const { result, error } = await call(who, 'SendMessage', message(text, more));
    assert.equal(error, undefined);
    return result.task;
  };

  const task = await submit(alice, 'hers');
  const hook = { taskId: task.id, id: 'hook', url: 'http://127.0.0.1:9/hook' };
  assert.equal((await call(alice, 'CreateTaskPushNotificationConfig', hook)).error, undefined);

  // [AUTH-SCOPE-001] [AUTH-SCOPE-003] [PUSH-GET-002]
  await t.test('every operation', async () => {
    const missing = uuidv7();
    const operations: [string, (id: string) => object, Record<string, string>?][] = [
      ['GetTask', (id) => ({ id })],
      ['CancelTask', (id) => ({ id })],
      ['SubscribeToTask', (id) => ({ id })],
      ['SubscribeToTask', (id) => ({ id }), { 'last-event-id': '1' }],
      ['SendMessage', (taskId) => message('for a foreign task', { taskId })],
      ['SendStreamingMessage', (taskId) => message('for a foreign task', { taskId })],
      ['SendMessage', (taskId) => message('in its context', { taskId, contextId: task.contextId })],
      [
        'SendMessage',
        (taskId) => ({
          ...message('with a webhook', { taskId }),
          configuration: { taskPushNotificationConfig: { url: 'http://127.0.0.1:9/' } },
        }),
      ],
      ['CreateTaskPushNotificationConfig', (taskId) => ({ ...hook, taskId, id: 'theirs' })],
      ['CreateTaskPushNotificationConfig', (taskId) => ({ ...hook, taskId })],
      ['GetTaskPushNotificationConfig', (taskId) => ({ taskId, id: 'hook' })],
      ['ListTaskPushNotificationConfigs', (taskId) => ({ taskId })],
      ['DeleteTaskPushNotificationConfig', (taskId) => ({ taskId, id: 'hook' })],
    ];
    for (const [method, params, headers] of operations) {
      const expected = JSON.stringify((await call(alice, method, params(missing), headers)).error);
      assert.ok(expected?.includes('-32001'), `${method} on a missing task: ${expected}`);
      for (const who of others) {
        const { error } = await call(who, method, params(task.id), headers);
        assert.equal(
          JSON.stringify(error)?.replaceAll(task.id, missing),
          expected,
          `${method} of ${JSON.stringify(who)}`,
        );
      }
    }
    const { result } = await call(alice, 'GetTask', { id: task.id });
    assert.equal(result.status.state, 'TASK_STATE_SUBMITTED');
    assert.equal(result.history.length, 1);
    assert.equal(
      (await call(alice, 'ListTaskPushNotificationConfigs', { taskId: task.id })).result.configs.length,
      1,
    );
  });

  // [AUTH-SCOPE-002] [CORE-LIST-001]
  await t.test('lists show only one’s own, also by context', async () => {
    const [bob] = others as [Who];
    const his = await submit(bob, 'his, in a context that is called like hers', {
      contextId: task.contextId,
    });
    assert.notEqual(his.id, task.id);
    for (const filter of [{}, { contextId: task.contextId }, { status: 'TASK_STATE_SUBMITTED' }]) {
      const ids = async (who: Who): Promise<string[]> =>
        (await call(who, 'ListTasks', filter)).result.tasks.map(({ id }: TaskJson) => id);
      assert.deepEqual(await ids(alice), [task.id]);
      assert.deepEqual(await ids(bob), [his.id]);
      assert.deepEqual(await ids({ key: aliceKey, tenant: 'blue' }), []);
      assert.equal((await call(bob, 'ListTasks', filter)).result.totalSize, 1);
    }
  });

  await t.test('the same messageId is another message', async () => {
    const messageId = randomUUID();
    const everybody = [alice, ...others];
    const tasks = await Promise.all(everybody.map((who) => submit(who, 'once for each', { messageId })));
    assert.equal(new Set(tasks.map(({ id }) => id)).size, everybody.length);
    const again = await Promise.all(everybody.map((who) => submit(who, 'once for each', { messageId })));
    assert.deepEqual(
      again.map(({ id }) => id),
      tasks.map(({ id }) => id),
    );
  });

  await t.test('a page token is good for its owner alone', async () => {
    const [bob, blue] = others as [Who, Who];
    for (const who of [alice, bob, blue]) await submit(who, 'one more, so that there is a page more');
    const { result } = await call(alice, 'ListTasks', { pageSize: 1 });
    assert.ok(result.nextPageToken);
    const page = { pageSize: 1, pageToken: result.nextPageToken };
    for (const who of others) {
      const { error } = await call(who, 'ListTasks', page);
      assert.equal(error?.code, -32602);
      assert.match(error.message, /pageToken/);
    }
    assert.equal((await call(alice, 'ListTasks', page)).result.tasks.length, 1);
  });
});
