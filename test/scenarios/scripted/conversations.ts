/** Messages to tasks in every state, repeated messages, waits and direct answers, through the api. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { postJsonRpc, type JsonRpcAnswer } from '../../support/clients/json-rpc.ts';
import { getStepRuns } from '../../support/services/scripted-stack.ts';
import { readSse } from '../../support/clients/sse.ts';
import { isCompleted, type TaskJson } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { stack, tool } from './stack.ts';

const taskNotFound = -32001;
const notCancelable = -32002;
const unsupportedOperation = -32004;
const invalidParams = -32602;

describe('conversations', () => {
  /** Sends a message and waits for its answer. */
  function send(text: string, message: object = {}, configuration: object = {}): Promise<JsonRpcAnswer> {
    return stack.rpc('SendMessage', {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...message },
      configuration,
    });
  }

  function getTexts(task: TaskJson): string[] {
    return (task.history ?? []).map(({ parts }) => parts.map(({ text }) => text).join(''));
  }

  describe('a message to a working task', () => {
    test('runs as the next turn, after the current one', async (t) => {
      const toolAnswer = Promise.withResolvers<number>();
      tool.answerBy(() => toolAnswer.promise);
      t.after(() => tool.answer(200));
      const task = await stack.submit('step first\nsay one');
      await waitFor('the first step', () => getStepRuns(tool, task.id).length === 1);
      const { result } = await send('step second\nsay two', { taskId: task.id }, { returnImmediately: true });
      assert.equal(result.task.status.state, 'TASK_STATE_WORKING');
      toolAnswer.resolve(200);
      const done = await stack.until(task.id, isCompleted);
      assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'two');
      assert.deepEqual(getTexts(done), ['step first\nsay one', 'step second\nsay two']);
      assert.deepEqual(getStepRuns(tool, task.id), ['1/first/0', '2/second/0']);
    });

    test('is the next turn or refused when the task is just finishing', async () => {
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
      assert.ok(accepted > 0, 'no message was in time');
    });
  });

  describe('a message to an interrupted task', () => {
    // [CORE-MULTI-005]
    test('answers the question, and the task continues', async () => {
      const asking = (await send('ask which one?')).result.task;
      assert.equal(asking.status.state, 'TASK_STATE_INPUT_REQUIRED');
      assert.equal(asking.status.message.parts[0].text, 'which one?');
      const { result } = await send('say that one', { taskId: asking.id });
      assert.equal(result.task.status.state, 'TASK_STATE_COMPLETED');
      assert.deepEqual(getTexts(result.task), ['ask which one?', 'which one?', 'say that one']);
    });

    // [CORE-EXECUTION-MODE-001]
    test('continues a task at auth-required after a waiting send returned', async () => {
      const asking = (await send('auth sign in')).result.task;
      assert.equal(asking.status.state, 'TASK_STATE_AUTH_REQUIRED');
      const { result } = await send('say in', { taskId: asking.id });
      assert.equal(result.task.status.state, 'TASK_STATE_COMPLETED');
    });
  });

  describe('a stream of a task at auth-required', () => {
    const stream = (text: string) =>
      postJsonRpc(stack.apiUrl, 'SendStreamingMessage', {
        message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] },
      });

    test('closes if the client is to answer', async () => {
      const states: string[] = [];
      for await (const { data } of readSse(await stream('auth sign in'))) {
        states.push((data.result.task ?? data.result.statusUpdate).status.state);
      }
      assert.equal(states.at(-1), 'TASK_STATE_AUTH_REQUIRED');
    });

    // [AUTH-INTASK-001]
    test('stays open if the credential comes out of band', async () => {
      const states: string[] = [];
      for await (const { data } of readSse(await stream('elsewhere ask the bank'))) {
        const { taskId, status } = data.result.statusUpdate ?? {};
        if (status === undefined) continue;
        states.push(status.state);
        if (status.state === 'TASK_STATE_AUTH_REQUIRED') await send('reject no', { taskId });
      }
      assert.deepEqual(states.slice(-2), ['TASK_STATE_WORKING', 'TASK_STATE_REJECTED']);
    });
  });

  describe('a message to a task at its end', () => {
    for (const [text, state] of [
      ['fail no', 'TASK_STATE_FAILED'],
      ['reject no', 'TASK_STATE_REJECTED'],
      ['say done', 'TASK_STATE_COMPLETED'],
    ] as const) {
      test(`is refused and changes nothing at ${state}`, async () => {
        const ended = (await send(text)).result.task;
        assert.equal(ended.status.state, state);
        const { error } = await send('say more', { taskId: ended.id });
        assert.equal(error?.code, unsupportedOperation);
        assert.deepEqual((await stack.rpc('GetTask', { id: ended.id })).result, ended);
      });
    }

    test('is refused at TASK_STATE_CANCELED, as is a second cancel', async () => {
      const task = await stack.submit('wait 60000');
      await stack.rpc('CancelTask', { id: task.id });
      assert.equal((await send('say more', { taskId: task.id })).error?.code, unsupportedOperation);
      const second = await stack.rpc('CancelTask', { id: task.id });
      assert.equal(second.error?.code, notCancelable);
    });
  });

  describe('a repeated message', () => {
    test('reuses the same task and waits for it', async () => {
      const message = { messageId: randomUUID() };
      const [first, ...repeats] = await Promise.all(
        Array.from({ length: 10 }, () => send('step dedupe 100\nsay once', message)),
      );
      const id: string = first!.result.task.id;
      for (const { result } of repeats) {
        assert.equal(result.task.id, id);
        assert.equal(result.task.status.state, 'TASK_STATE_COMPLETED');
      }
      assert.deepEqual(getStepRuns(tool, id), ['1/dedupe/0']);
      const late = await send('step dedupe 100\nsay once', message);
      assert.equal(late.result.task.id, id, 'a repeat after the end of the task');
    });

    test('is refused if its content differs', async () => {
      const message = { messageId: randomUUID() };
      await send('say something', message);
      const { error } = await send('say something else', message);
      assert.equal(error?.code, invalidParams);
    });

    test('returns the task that has completed since the first follow-up', async () => {
      const asking = (await send('ask more?')).result.task;
      const message = { messageId: randomUUID(), taskId: asking.id };
      await send('say yes', message);
      const repeat = await send('say yes', message);
      assert.equal(repeat.result?.task.status.state, 'TASK_STATE_COMPLETED');
    });
  });

  describe('a direct answer', () => {
    test('is returned to a waiting send as a message without a task', async () => {
      const messageId = randomUUID();
      const { result } = await send('direct just this', { messageId });
      assert.equal(result.message.parts[0].text, 'just this');
      const { rows } = await stack.pool.query<{ id: string }>(
        'select task_id as id from sends where message_id = $1',
        [messageId],
      );
      const hidden = await stack.rpc('GetTask', { id: rows[0]?.id });
      assert.equal(hidden.error?.code, taskNotFound);
    });

    test('completes the task for a caller that has seen it', async () => {
      const seen = await stack.submit('direct just this');
      const done = await stack.until(seen.id, isCompleted);
      assert.equal(done.status.message.parts[0].text, 'just this');
    });
  });

  describe('the context of a message', () => {
    test('is refused if it is not the context of the task', async () => {
      const { id } = (await send('ask more?')).result.task;
      assert.equal((await send('say x', { taskId: id, contextId: 'other' })).error?.code, invalidParams);
    });

    test('is kept for a new task', async () => {
      const { id, contextId } = await stack.submit('ask more?');
      const next = await stack.submit('say x', { message: { contextId } });
      assert.equal(next.contextId, contextId);
      assert.notEqual(next.id, id);
    });
  });

  test('refuses a message to an unknown task', async () => {
    assert.equal((await send('say x', { taskId: randomUUID() })).error?.code, taskNotFound);
  });

  describe('the history of a task', () => {
    // [CORE-HIST-002]
    test('is at most as long as requested', async () => {
      const asking = (await send('ask more?')).result.task;
      await send('say yes', { taskId: asking.id });
      for (const [historyLength, length] of [
        [0, 0],
        [1, 1],
        [2, 2],
        [50, 3],
      ] as const) {
        const { result } = await stack.rpc('GetTask', { id: asking.id, historyLength });
        assert.equal((result.history ?? []).length, length);
      }
    });

    test('is refused with a negative length', async () => {
      const task = await stack.submit('say x');
      const { error } = await stack.rpc('GetTask', { id: task.id, historyLength: -1 });
      assert.equal(error?.code, invalidParams);
    });
  });
});
