/** The life of a task through the SDK's own client: send, wait, stream, poll, list, cancel, subscribe, webhooks. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import {
  Role,
  StreamResponse,
  TaskState,
  type Message,
  type SendMessageRequest,
  type Task,
} from '@a2a-js/sdk';
import type { Client } from '@a2a-js/sdk/client';
import { respond } from '#services/local/offline-model/responder.ts';
import { getLastUserText } from '#services/local/offline-model/wire.ts';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { isCompleted, startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';

const text =
  'Summarise this: The lighthouse was built in 1820. It was built by two brothers. The sea is rough in winter. ' +
  'Ships rely on the lighthouse in winter. The brothers never saw a ship that did not rely on it.';

describe('a task', () => {
  const cleanup = createSuiteCleanup();
  const subscribed = Promise.withResolvers<void>();
  let stack: Stack;
  let client: Client;
  before(async () => {
    stack = await startStack(cleanup, {}, async (request) => {
      if (getLastUserText(request) === 'slowly') await subscribed.promise;
      return respond(request);
    });
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
    client = await stack.client();
  });

  const submit = async (content: string): Promise<Task> =>
    asTask(await client.sendMessage(createSend(content, { returnImmediately: true })));

  // [CORE-SEND-001]
  test('is returned finished, with its artifact, by a waiting send', async () => {
    const task = asTask(await client.sendMessage(createSend(text)));
    assert.equal(task.status?.state, TaskState.TASK_STATE_COMPLETED);
    assert.match(getText(task), /lighthouse/);
    assert.equal(task.history.length, 1);
  });

  test('is streamed from its start in chunks to its completion', async () => {
    const events: StreamResponse[] = [];
    for await (const event of client.sendMessageStream(createSend(text))) events.push(event);
    const kinds = events.map((event) => event.payload?.$case);
    assert.equal(kinds[0], 'task');
    assert.ok(kinds.filter((kind) => kind === 'artifactUpdate').length > 1, `chunks: ${kinds.join()}`);
    assert.equal(getFinalState(events), TaskState.TASK_STATE_COMPLETED);
  });

  // [CORE-EXECUTION-MODE-002]
  test('is returned at once by an immediate send, and found by polling and listing', async () => {
    const task = await submit(text);
    assert.equal(task.status?.state, TaskState.TASK_STATE_SUBMITTED);
    await stack.until(task.id, isCompleted);
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
      tasks.map(({ id }) => id),
      [task.id],
    );
    assert.equal(totalSize, 1);
  });

  test('aborts its model call within a second when it is canceled', async () => {
    stack.model.script([{ match: 'respond forever', reactions: [{ hang: true }], repeat: true }]);
    const durations: number[] = [];
    for (let round = 0; round < 5; round++) {
      const words = `respond forever ${round}`;
      const calls = () => stack.model.log().filter((entry) => entry.lastUserText === words);
      const task = await submit(words);
      await waitFor('the model call', () => calls().length > 0);
      const startedAt = performance.now();
      const canceled = await client.cancelTask({ tenant: '', id: task.id, metadata: undefined });
      assert.equal(canceled.status?.state, TaskState.TASK_STATE_CANCELED);
      await waitFor('the abort of the model call', () => calls().some(({ aborted }) => aborted));
      durations.push(performance.now() - startedAt);
    }
    // The median shows what an abort takes; single rounds also show what else the machine does.
    const median = durations.toSorted((a, b) => a - b)[2]!;
    assert.ok(median < 1_000, `aborted after ${durations.join(', ')} ms`);
  });

  test('is streamed to a subscription from its current state to its end', async () => {
    const { id } = await submit('slowly');
    const events: StreamResponse[] = [];
    for await (const event of client.resubscribeTask({ tenant: '', id })) {
      subscribed.resolve();
      events.push(event);
    }
    assert.equal(events[0]?.payload?.$case, 'task');
    assert.equal(getFinalState(events), TaskState.TASK_STATE_COMPLETED);
    await assert.rejects(async () => {
      for await (const _ of client.resubscribeTask({ tenant: '', id })) assert.fail('the task has ended');
    }, /has ended/);
  });

  // [PUSH-CREATE-001] [PUSH-DELIVER-001] [PUSH-DELIVER-003]
  test('sends each change of its state to its webhook, in order', async (t) => {
    const receiver = await startReceiver(t);
    const task = asTask(
      await client.sendMessage(
        createSend(text, {
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
    assert.ok(last?.$case === 'task', 'the last event has the task');
    assert.equal(last.value.id, task.id);
    assert.equal(getText(last.value), getText(task));
    for (const { headers } of received) {
      assert.equal(headers['authorization'], 'Bearer sesame');
      assert.equal(headers['x-a2a-notification-token'], 'from-the-client');
      assert.match(headers['content-type'] ?? '', /application\/a2a\+json/);
    }
    assert.equal(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 3);
  });

  // [PUSH-GET-001] [PUSH-DEL-001]
  test('has webhook configs that are created, read, listed and deleted', async (t) => {
    const task = asTask(await client.sendMessage(createSend('What is 2 + 2?')));
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
    const params = { tenant: '', taskId: task.id };
    assert.equal((await client.getTaskPushNotificationConfig({ ...params, id: 'mine' })).url, receiver.url);
    const list = () => client.listTaskPushNotificationConfig({ ...params, pageSize: 0, pageToken: '' });
    assert.deepEqual(
      (await list()).configs.map(({ id }) => id),
      ['mine'],
    );
    await client.deleteTaskPushNotificationConfig({ ...params, id: 'mine' });
    assert.deepEqual((await list()).configs, []);
  });

  test('reaches the model with the earlier tasks of its context', async () => {
    const first = asTask(await client.sendMessage(createSend('My name is Ada.')));
    const question = 'What did I say before?';
    const next = createSend(question);
    await client.sendMessage({ ...next, message: { ...next.message!, contextId: first.contextId } });
    const calls = stack.model.log().filter((entry) => entry.lastUserText === question);
    assert.equal(calls.length, 1);
    assert.equal(calls[0]?.contents, 3, 'the first message, its answer, the second message');
  });
});

function createSend(
  content: string,
  configuration: Partial<SendMessageRequest['configuration'] & object> = {},
): SendMessageRequest {
  return {
    tenant: '',
    message: createMessage(content),
    configuration: {
      acceptedOutputModes: [],
      taskPushNotificationConfig: undefined,
      returnImmediately: false,
      ...configuration,
    },
    metadata: undefined,
  };
}

function createMessage(content: string): Message {
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

function getText(task: Task): string {
  return task.artifacts
    .flatMap((artifact) => artifact.parts)
    .map((part) => (part.content?.$case === 'text' ? part.content.value : ''))
    .join('');
}

function getFinalState(events: readonly StreamResponse[]): TaskState | undefined {
  const last = events.at(-1)?.payload;
  return last?.$case === 'statusUpdate' ? last.value.status?.state : undefined;
}
