/** Webhook bodies, as receivers get them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StreamResponse, TaskState } from '@a2a-js/sdk';
import type { TaskAsOf } from '#shared/db/tasks/as-of.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';
import { newFollowUp } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { waitFor } from '../../support/wait-for.ts';
import { readAttempts, readConfig, waitForDeliveries } from '../../support/webhooks/deliveries.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const { db } = await connectToTestDatabase();

describe('webhook bodies', () => {
  test('sends each state in order, and the task with its artifacts at the end', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    const hook = webhookTo(receiver.url, { token: 'tök', authScheme: 'Bearer', authCredentials: 'hush' });
    const task = await startTask(db, outbox, hook);
    await task.claim();
    await task.artifact({ artifactId: 'a', name: 'answer', parts: [{ text: 'forty' }] });
    await task.artifact({ artifactId: 'a', parts: [{ text: '-two' }] }, { append: true });
    await task.artifact(
      { artifactId: 'b', parts: [{ data: { n: 42 } }] },
      { whole: { artifactId: 'b', parts: [{ data: { n: 42 } }] } },
    );
    await task.end('TASK_STATE_COMPLETED');
    await receiver.count(3);
    await waitForDeliveries(db, task.taskId);

    assert.deepEqual(receiver.events(), [1, 2, 6]);
    for (const { method, headers } of receiver.received) {
      assert.equal(method, 'POST');
      assert.equal(headers['content-type'], 'application/a2a+json');
      assert.equal(headers['x-a2a-notification-token'], 'tök');
      assert.equal(headers.authorization, 'Bearer hush');
      assert.equal(headers['longhaul-task-id'], task.taskId);
      const seq = Number(headers['longhaul-event']);
      assert.equal(headers['webhook-id'], getMessageId({ taskId: task.taskId, configId: 'hook', seq }));
      assert.ok(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000) < 10);
      assert.equal(headers['longhaul-truncated'], undefined);
    }
    const [first, second, last] = receiver.received.map(({ body }) =>
      StreamResponse.fromJSON(JSON.parse(body)),
    );
    assert.equal(first!.payload?.$case, 'statusUpdate');
    assert.ok(second!.payload?.$case === 'statusUpdate');
    assert.equal(second!.payload.value.status?.state, TaskState.TASK_STATE_WORKING);
    assert.ok(last!.payload?.$case === 'task');
    const { id, contextId, status, artifacts, history, metadata } = last!.payload.value;
    assert.deepEqual(
      [id, contextId, history, metadata],
      [
        task.taskId,
        task.contextId,
        [],
        { origin: 'test', [webhooksExtensionUri]: { event: 6, audience: receiver.url } },
      ],
    );
    assert.equal(status?.state, TaskState.TASK_STATE_COMPLETED);
    const contents = artifacts.map(({ artifactId, parts }) => [
      artifactId,
      parts.map((part) => part.content),
    ]);
    assert.deepEqual(Object.fromEntries(contents), {
      a: [{ $case: 'text', value: 'forty-two' }],
      b: [{ $case: 'data', value: { n: 42 } }],
    });
    const attempts = await readAttempts(db, task.taskId);
    assert.deepEqual(
      attempts.map(({ seq, attempt, status: code, error }) => [seq, attempt, code, error]),
      [1, 2, 6].map((seq) => [seq, 1, 200, null]),
    );
    assert.equal(JSON.stringify(await readConfig(db, task.taskId)).includes('hush'), false);
  });

  test('sends an interrupted state with the task as of that event', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.3] });
    let answer = 500;
    receiver.answerBy(() => answer);
    const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'end' }));
    const draft = { artifactId: 'a', parts: [{ text: 'draft' }] };
    const final = { artifactId: 'a', parts: [{ text: 'final' }] };
    const question = { messageId: uuidv7(), role: 'ROLE_AGENT' as const, parts: [{ text: 'sure?' }] };
    await task.claim();
    await task.artifact(draft, { whole: draft });
    await task.end('TASK_STATE_INPUT_REQUIRED', question);
    await receiver.count(1);
    await acceptFollowUp(
      db,
      { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 },
      newFollowUp(task.taskId),
    );
    await task.claim();
    await task.artifact(final, { whole: final });
    await task.end('TASK_STATE_COMPLETED');
    answer = 200;
    await waitForDeliveries(db, task.taskId);
    const tasks = receiver.received.map(({ body }) => (JSON.parse(body) as { task: TaskAsOf }).task);
    const states = tasks.map(({ status, artifacts }) => [
      status.state,
      status.message?.parts[0]?.text,
      artifacts,
    ]);
    assert.deepEqual(states, [
      ['TASK_STATE_INPUT_REQUIRED', 'sure?', [draft]],
      ['TASK_STATE_INPUT_REQUIRED', 'sure?', [draft]],
      ['TASK_STATE_COMPLETED', undefined, [final]],
    ]);
  });

  test('sends null as data to receivers of both versions', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1);
    for (const protocolVersion of ['1.0', '0.3']) {
      const seen = receiver.received.length;
      const task = await startTask(db, outbox, webhookTo(receiver.url, { protocolVersion, events: 'end' }));
      await task.claim();
      await task.artifact({ artifactId: 'a', parts: [{ data: null }] });
      await task.end('TASK_STATE_COMPLETED', {
        messageId: 'm',
        role: 'ROLE_AGENT',
        parts: [{ data: null }],
      });
      await waitForDeliveries(db, task.taskId);
      const body = JSON.parse(receiver.received[seen]!.body);
      const { artifacts, status } = body.task ?? body;
      const part =
        protocolVersion === '1.0'
          ? { data: null }
          : { kind: 'data', data: { value: null }, metadata: { data_part_compat: true } };
      assert.deepEqual([artifacts[0].parts, status.message.parts], [[part], [part]]);
    }
  });

  test('records attempts whose body cannot be made, and gives up', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.02] });
    const legacy = webhookTo(receiver.url, { protocolVersion: '0.3', events: 'end' });
    const task = await startTask(db, outbox, legacy);
    await task.claim();
    // A part without content cannot be translated.
    await task.artifact({ artifactId: 'a', parts: [{}] });
    await task.end('TASK_STATE_COMPLETED');
    await waitFor(
      'the config is disabled',
      async () => (await readConfig(db, task.taskId)).disabled_reason !== null,
    );
    const attempts = await readAttempts(db, task.taskId);
    assert.equal(attempts.length, 2);
    for (const { status, error } of attempts) {
      assert.equal(status, null);
      assert.match(error ?? '', /^the webhook could not be created: Invalid v1\.0 part: missing content/);
    }
    assert.deepEqual(receiver.received, []);
  });

  test('sends a body above the limit without artifacts, and marks it', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const { outbox } = await startDispatchers(t, db, 1, { maxBodyBytes: 2_000 });
    const task = await startTask(db, outbox, webhookTo(receiver.url, { events: 'all' }));
    await task.claim();
    await task.artifact({ artifactId: 'a', parts: [{ text: 'x'.repeat(1_000_000) }] });
    await task.end('TASK_STATE_COMPLETED');
    await receiver.count(4);
    const bodies = receiver.received.map(({ body }) => StreamResponse.fromJSON(JSON.parse(body)).payload);
    assert.deepEqual(
      receiver.received.map(({ headers }) => headers['longhaul-truncated']),
      [undefined, undefined, 'true', 'true'],
    );
    assert.ok(bodies[2]?.$case === 'statusUpdate' && bodies[3]?.$case === 'task');
    assert.equal(bodies[2].value.status?.state, TaskState.TASK_STATE_WORKING);
    assert.equal(bodies[3].value.status?.state, TaskState.TASK_STATE_COMPLETED);
    assert.deepEqual(bodies[3].value.artifacts, []);
  });
});
