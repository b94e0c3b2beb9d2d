/** Messages to tasks in every state, repeats, waits and direct answers, through the front door. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { startReceiver } from '../support/webhooks/receiver.ts';
import type { JsonRpcAnswer } from '../support/json-rpc.ts';
import { isCompleted, startStack, type TaskJson } from '../support/stack.ts';

const unsupportedOperation = -32004;
const invalidParams = -32602;

test('conversations', async (t) => {
  const tool = await startReceiver(t);
  const stack = await startStack(t, {
    AGENT_MODULE: path.resolve('test/support/agents/scripted.ts'),
    TEST_LOG_URL: tool.url,
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  const settled = (task: TaskJson): boolean => !/SUBMITTED|WORKING/.test(task.status.state);

  function send(text: string, message: object = {}, configuration: object = {}): Promise<JsonRpcAnswer> {
    return stack.rpc('SendMessage', {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...message },
      configuration,
    });
  }
  const texts = (task: TaskJson): unknown[] =>
    (task.history ?? []).map((message) => message.parts.map((part) => part.text).join(''));

  await t.test(
    'to a working task: it is the next turn, never beside the present one, never lost',
    async () => {
      const followed = Promise.withResolvers<number>();
      tool.answerBy(() => followed.promise);
      const task = await stack.submit('step first\nsay one');
      await tool.count(1);
      const { result } = await send('step second\nsay two', { taskId: task.id }, { returnImmediately: true });
      assert.equal(result.task.status.state, 'TASK_STATE_WORKING');
      followed.resolve(200);
      const done = await stack.until(task.id, isCompleted);
      assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'two');
      assert.deepEqual(texts(done), ['step first\nsay one', 'step second\nsay two']);
      assert.deepEqual(
        tool.received.map((one) => one.body.split('/').slice(1).join('/')),
        ['1/first/0', '2/second/0'],
      );
    },
  );

  await t.test('to a task that is just finishing: the next turn, or refused as at its end', async () => {
    let accepted = 0;
    for (let round = 0; round < 12; round++) {
      const task = await stack.submit('say one');
      if (round % 2 === 1) await new Promise((resolve) => setTimeout(resolve, round));
      const { result, error } = await send('say two', { taskId: task.id }, { returnImmediately: true });
      const done = await stack.until(task.id, isCompleted);
      if (error === undefined) {
        accepted += 1;
        assert.equal(result.task.id, task.id);
        assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'two');
        assert.equal(done.history?.length, 2);
      } else {
        assert.equal(error.code, unsupportedOperation);
        assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'one');
      }
    }
    assert.ok(accepted > 0, 'at least the quickest was in time');
  });

  // [CORE-MULTI-005]
  await t.test('to a task that waits for input: the answer goes on where it stopped', async () => {
    const asked = (await send('ask which one?')).result.task;
    assert.equal(asked.status.state, 'TASK_STATE_INPUT_REQUIRED');
    assert.equal(asked.status.message.parts[0].text, 'which one?');
    const { result } = await send('say that one', { taskId: asked.id });
    assert.equal(result.task.status.state, 'TASK_STATE_COMPLETED');
    assert.deepEqual(texts(result.task), ['ask which one?', 'which one?', 'say that one']);
  });

  await t.test(
    'to a cancelled, failed, rejected or completed task: refused, and nothing changes',
    async () => {
      for (const text of ['fail no', 'reject no', 'say done']) {
        const ended = (await send(text)).result.task;
        const { error } = await send('say more', { taskId: ended.id });
        assert.equal(error?.code, unsupportedOperation);
        assert.deepEqual((await stack.rpc('GetTask', { id: ended.id })).result, ended);
      }
      const task = await stack.submit('wait 60000');
      await stack.rpc('CancelTask', { id: task.id });
      assert.equal((await send('say more', { taskId: task.id })).error?.code, unsupportedOperation);
      const again = await stack.rpc('CancelTask', { id: task.id });
      assert.equal(again.error?.code, -32002);
    },
  );

  // [CORE-EXECUTION-MODE-001]
  await t.test(
    'a waiting send at auth-required returns; the task goes on with the next message',
    async () => {
      const asked = (await send('auth sign in')).result.task;
      assert.equal(asked.status.state, 'TASK_STATE_AUTH_REQUIRED');
      assert.equal(
        (await send('say in', { taskId: asked.id })).result.task.status.state,
        'TASK_STATE_COMPLETED',
      );
    },
  );

  await t.test('the same message twice is one task, that the repeat waits for', async () => {
    const message = { messageId: randomUUID() };
    const [first, ...repeats] = await Promise.all(
      Array.from({ length: 10 }, () => send('step dedupe 100\nsay once', message)),
    );
    const id: string = first!.result.task.id;
    for (const { result } of repeats) {
      assert.equal(result.task.id, id);
      assert.equal(result.task.status.state, 'TASK_STATE_COMPLETED');
    }
    assert.equal(tool.received.filter((one) => one.body.includes('/dedupe/')).length, 1);
    const other = await send('say something else', message);
    assert.equal(other.error?.code, invalidParams);
    const late = await send('step dedupe 100\nsay once', message);
    assert.equal(late.result.task.id, id, 'also when the task is at its end');
  });

  await t.test('a repeated follow-up to a task that has completed since returns that task', async () => {
    const asked = (await send('ask more?')).result.task;
    const message = { messageId: randomUUID(), taskId: asked.id };
    await send('say yes', message);
    const repeat = await send('say yes', message);
    assert.equal(repeat.result?.task.status.state, 'TASK_STATE_COMPLETED');
  });

  await t.test(
    'a direct answer is a message and no task; a caller that has the task sees it completed',
    async () => {
      const { result } = await send('direct just this');
      assert.equal(result.message.parts[0].text, 'just this');
      const hidden = await stack.rpc('GetTask', { id: result.message.taskId });
      assert.equal(hidden.error?.code, -32001);
      const seen = await stack.submit('direct just this');
      const done = await stack.until(seen.id, isCompleted);
      assert.equal(done.status.message.parts[0].text, 'just this');
    },
  );

  await t.test(
    'contexts: a mismatch is refused, an unknown task not found, a given context kept',
    async () => {
      const { id, contextId } = await stack.submit('ask more?');
      await stack.until(id, settled);
      assert.equal((await send('say x', { taskId: id, contextId: 'other' })).error?.code, invalidParams);
      assert.equal((await send('say x', { taskId: randomUUID() })).error?.code, -32001);
      const next = await stack.submit('say x', { message: { contextId } });
      assert.equal(next.contextId, contextId);
      assert.notEqual(next.id, id);
    },
  );

  // [CORE-HIST-002]
  await t.test('history is as long as asked for', async () => {
    const asked = (await send('ask more?')).result.task;
    await send('say yes', { taskId: asked.id });
    for (const [historyLength, length] of [
      [0, 0],
      [1, 1],
      [2, 2],
      [50, 3],
    ] as const) {
      const { result } = await stack.rpc('GetTask', { id: asked.id, historyLength });
      assert.equal((result.history ?? []).length, length);
    }
    assert.equal(
      (await stack.rpc('GetTask', { id: asked.id, historyLength: -1 })).error?.code,
      invalidParams,
    );
  });
});
