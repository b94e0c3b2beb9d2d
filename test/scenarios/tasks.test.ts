/** The whole way of a task, by the SDK's own client: send, wait, stream, poll, list, cancel, subscribe, webhooks. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  Role,
  StreamResponse,
  TaskState,
  type Message,
  type SendMessageRequest,
  type Task,
} from '@a2a-js/sdk';
import { respond } from '#services/local/offline-model/responder.ts';
import { lastUserText } from '#services/local/offline-model/wire.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';
import { startStack } from '../support/stack.ts';

const text =
  'Summarise this: The lighthouse was built in 1820. It was built by two brothers. The sea is rough in winter. ' +
  'Ships rely on the lighthouse in winter. The brothers never saw a ship that did not rely on it.';

test('the way of a task', async (t) => {
  const followed = Promise.withResolvers<void>();
  const stack = await startStack(t, {}, async (request) => {
    if (lastUserText(request) === 'slowly') await followed.promise;
    return respond(request);
  });
  await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  const client = await stack.client();

  function send(
    content: string,
    more: Partial<SendMessageRequest['configuration'] & object> = {},
  ): SendMessageRequest {
    return {
      tenant: '',
      message: message(content),
      configuration: {
        acceptedOutputModes: [],
        taskPushNotificationConfig: undefined,
        returnImmediately: false,
        ...more,
      },
      metadata: undefined,
    };
  }

  // [CORE-SEND-001]
  await t.test('a waiting send returns the finished task with its artifact', async () => {
    const task = asTask(await client.sendMessage(send(text)));
    assert.equal(task.status?.state, TaskState.TASK_STATE_COMPLETED);
    assert.match(textOf(task), /lighthouse/);
    assert.equal(task.history.length, 1);
  });

  await t.test('a stream begins with the task, carries chunks, and ends with completed', async () => {
    const events: StreamResponse[] = [];
    for await (const event of client.sendMessageStream(send(text))) events.push(event);
    const kinds = events.map((event) => event.payload?.$case);
    assert.equal(kinds[0], 'task');
    assert.ok(kinds.filter((kind) => kind === 'artifactUpdate').length > 1, `chunks: ${kinds.join()}`);
    const last = events.at(-1)?.payload;
    assert.equal(last?.$case === 'statusUpdate' && last.value.status?.state, TaskState.TASK_STATE_COMPLETED);
  });

  // [CORE-EXECUTION-MODE-002]
  await t.test('an immediate send returns at once; polling and listing see the task through', async () => {
    const task = asTask(await client.sendMessage(send(text, { returnImmediately: true })));
    assert.equal(task.status?.state, TaskState.TASK_STATE_SUBMITTED);
    await stack.until(task.id, (one) => one.status.state === 'TASK_STATE_COMPLETED');
    const polled = await client.getTask({ tenant: '', id: task.id });
    assert.equal(polled.status?.state, TaskState.TASK_STATE_COMPLETED);
    const { tasks, totalSize } = await client.listTasks({
      tenant: '',
      contextId: task.contextId,
      status: TaskState.TASK_STATE_COMPLETED,
      pageToken: '',
      statusTimestampAfter: undefined,
    });
    assert.deepEqual(
      tasks.map((one) => one.id),
      [task.id],
    );
    assert.equal(totalSize, 1);
  });

  await t.test(
    'a cancelled task ends at once, and its call to the model is aborted within a second',
    async () => {
      stack.model.script([{ match: 'think for ever', reactions: [{ hang: true }], repeat: true }]);
      const took: number[] = [];
      for (let round = 0; round < 5; round++) {
        const words = `think for ever ${round}`;
        const calls = () => stack.model.log().filter((entry) => entry.lastUserText === words);
        const task = asTask(await client.sendMessage(send(words, { returnImmediately: true })));
        await until(() => calls().length > 0);
        const from = performance.now();
        const canceled = await client.cancelTask({ tenant: '', id: task.id, metadata: undefined });
        assert.equal(canceled.status?.state, TaskState.TASK_STATE_CANCELED);
        await until(() => calls().some(({ aborted }) => aborted));
        took.push(performance.now() - from);
      }
      // Most tell what it takes; the others also what else the machine does.
      const median = took.toSorted((a, b) => a - b)[2]!;
      assert.ok(median < 1_000, `aborted after ${took.join(', ')} ms`);
    },
  );

  await t.test('a subscription begins with the task as of now, and sees it to its end', async () => {
    const task = asTask(await client.sendMessage(send('slowly', { returnImmediately: true })));
    const events: StreamResponse[] = [];
    for await (const event of client.resubscribeTask({ tenant: '', id: task.id })) {
      followed.resolve();
      events.push(event);
    }
    assert.equal(events[0]?.payload?.$case, 'task');
    const last = events.at(-1)?.payload;
    assert.equal(last?.$case === 'statusUpdate' && last.value.status?.state, TaskState.TASK_STATE_COMPLETED);
    await assert.rejects(async () => {
      for await (const _ of client.resubscribeTask({ tenant: '', id: task.id }))
        assert.fail('a stream of the past');
    }, /at its end/);
  });

  // [PUSH-CREATE-001] [PUSH-DELIVER-001] [PUSH-DELIVER-003]
  await t.test(
    'a webhook gets every change of state in order, the last with the task and its artifacts',
    async () => {
      const receiver = await startReceiver(t);
      const task = asTask(
        await client.sendMessage(
          send(text, {
            taskPushNotificationConfig: {
              tenant: '',
              id: '',
              taskId: '',
              url: receiver.url,
              token: 'from-the-client',
              authentication: { scheme: 'Bearer', credentials: 'sesame' },
            },
          }),
        ),
      );
      const received = await receiver.count(3);
      const events = received.map(({ body }) => StreamResponse.fromJSON(JSON.parse(body)));
      assert.deepEqual(
        events.map(({ payload }) =>
          payload?.$case === 'task' || payload?.$case === 'statusUpdate'
            ? payload.value.status?.state
            : undefined,
        ),
        [TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_COMPLETED],
      );
      const last = events.at(-1)?.payload;
      assert.ok(last?.$case === 'task');
      assert.equal(last.value.id, task.id);
      assert.equal(textOf(last.value), textOf(task));
      for (const { headers } of received) {
        assert.equal(headers['authorization'], 'Bearer sesame');
        assert.equal(headers['x-a2a-notification-token'], 'from-the-client');
        assert.match(headers['content-type'] ?? '', /application\/a2a\+json/);
      }
      assert.equal(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 3);
    },
  );

  // [PUSH-GET-001] [PUSH-DEL-001]
  await t.test('webhook configs are made, read, listed and deleted', async () => {
    const task = asTask(await client.sendMessage(send('What is 2 + 2?')));
    const receiver = await startReceiver(t);
    const config = {
      tenant: '',
      id: 'mine',
      taskId: task.id,
      url: receiver.url,
      token: '',
      authentication: undefined,
    };
    await client.createTaskPushNotificationConfig(config);
    await receiver.count(1);
    assert.equal(StreamResponse.fromJSON(JSON.parse(receiver.received[0]!.body)).payload?.$case, 'task');
    const where = { tenant: '', taskId: task.id };
    assert.equal((await client.getTaskPushNotificationConfig({ ...where, id: 'mine' })).url, receiver.url);
    const list = () => client.listTaskPushNotificationConfig({ ...where, pageSize: 0, pageToken: '' });
    assert.deepEqual(
      (await list()).configs.map((one) => one.id),
      ['mine'],
    );
    await client.deleteTaskPushNotificationConfig({ ...where, id: 'mine' });
    assert.deepEqual((await list()).configs, []);
  });

  await t.test('the context of a conversation reaches the model', async () => {
    const first = asTask(await client.sendMessage(send('My name is Ada.')));
    stack.model.reset();
    const next = send('What did I say before?');
    await client.sendMessage({ ...next, message: { ...next.message!, contextId: first.contextId } });
    const [asked] = stack.model.log();
    assert.equal(asked?.lastUserText, 'What did I say before?');
    assert.equal(asked.contents, 3, 'the first message, its answer, the second message');
  });
});

function message(content: string): Message {
  return {
    messageId: randomUUID(),
    contextId: '',
    taskId: '',
    role: Role.ROLE_USER,
    parts: [{ content: { $case: 'text', value: content }, metadata: undefined, filename: '', mediaType: '' }],
    metadata: undefined,
    extensions: [],
    referenceTaskIds: [],
  };
}

function asTask(answer: Message | Task): Task {
  assert.ok('id' in answer, 'a task was expected');
  return answer;
}

function textOf(task: Task): string {
  return task.artifacts
    .flatMap((artifact) => artifact.parts)
    .map((part) => (part.content?.$case === 'text' ? part.content.value : ''))
    .join('');
}

async function until(condition: () => boolean, boundMs = 30_000): Promise<void> {
  const deadline = performance.now() + boundMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not so within ${boundMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
