/**
 * Failures of the api, Pub/Sub, the database, Gemini, webhook receivers and clients, with real processes that are killed.
 * Each test names its row of the failure table in ARCHITECTURE.md. The rows of workers are in worker-failures.test.ts,
 * those of starting and stopping in start-and-stop.test.ts.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import type { PubSub } from '@google-cloud/pubsub';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { createPubSubClient } from '../../support/pubsub/client.ts';
import { getStepRuns, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { readSse } from '../../support/clients/sse.ts';
import { isCompleted, startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

describe('the api', () => {
  // Row: api dies after the commit, before publishing
  test('leaves its wake-up to the relay when it dies after the commit', async (t) => {
    const { stack } = await startScriptedStack(t);
    await stack.stopPubSub();
    const api = await stack.start('api');
    const task = await stack.submit('say hello');
    await api.kill();
    await stack.startPubSub();
    await Promise.all([stack.start('api'), stack.start('worker')]);
    await stack.until(task.id, isCompleted);
  });
});

describe('tasks during a failure of Pub/Sub', () => {
  // Row: Pub/Sub is down, or loses messages
  test('are accepted while it is down, and run once it is back', async (t) => {
    const { stack } = await startScriptedStack(t);
    await stack.start('api');
    await stack.submit('say warm');
    await waitForEmptyOutbox(stack);
    await stack.stopPubSub();
    const tasks: { id: string; ms: number }[] = [];
    for (let send = 0; send < 5; send++) {
      const startedAt = performance.now();
      const { id, status } = await stack.submit('say hello');
      tasks.push({ id, ms: performance.now() - startedAt });
      assert.equal(status.state, 'TASK_STATE_SUBMITTED');
    }
    // The quickest shows what a send costs; the others also show what else the machine does.
    const quickest = Math.min(...tasks.map(({ ms }) => ms));
    assert.ok(quickest < 250, `answered in ${quickest} ms`);
    const { rows } = await stack.pool.query(`select from outbox`);
    assert.equal(rows.length, tasks.length, 'no wake-up was published');
    const worker = stack.start('worker');
    await stack.startPubSub();
    await worker;
    for (const { id } of tasks) {
      assert.equal((await stack.until(id, isCompleted)).artifacts?.[0]?.parts[0]?.text, 'hello');
    }
  });

  // Row: Pub/Sub is down, or loses messages
  test('run when every message is lost, because the reconciler publishes again', async (t) => {
    const { stack } = await startScriptedStack(t);
    await stack.start('api');
    const task = await stack.submit('say hello');
    await waitForEmptyOutbox(stack);
    // It restarts empty: the published wake-up is lost.
    await stack.stopPubSub();
    await stack.startPubSub();
    await stack.start('worker');
    await stack.until(task.id, isCompleted);
  });

  // Row: a Pub/Sub message arrives twice or late
  test('run each step once when a message arrives twice or late', async (t) => {
    const { stack, tool } = await startScriptedStack(t);
    const pubsub = createPubSubClient(t, stack);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const task = await stack.submit('step once 300\nsay done');
    await tool.count(1);
    await publishWakeup(pubsub, task.id);
    await publishWakeup(pubsub, task.id);
    await stack.until(task.id, isCompleted);
    await publishWakeup(pubsub, task.id);
    const other = await stack.submit('say later');
    await stack.until(other.id, isCompleted);
    assert.deepEqual(getStepRuns(tool, task.id), ['1/once/0']);
    assert.equal(tool.received.length, 1);
  });
});

describe('tasks during a restart of the database', () => {
  // Row: the database restarts
  test('are completed if they were accepted', async (t) => {
    const { stack } = await startScriptedStack(t);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const ids: string[] = [];
    for (let index = 0; index < 20; index++) {
      if (index === 10) {
        // A failover cuts every connection.
        await stack.pool.query(
          `select pg_terminate_backend(pid, 10000) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid()`,
        );
      }
      const parts = [{ text: `step s 50\nsay ${index}` }];
      const message = { messageId: randomUUID(), role: 'ROLE_USER', parts };
      const params = { message, configuration: { returnImmediately: true } };
      // A client that does not retry.
      const response = await postJsonRpc(stack.apiUrl, 'SendMessage', params).catch(() => undefined);
      if (response?.status === 200) {
        ids.push(((await response.json()) as { result: { task: { id: string } } }).result.task.id);
      }
    }
    assert.ok(ids.length >= 18, `${ids.length} of 20 accepted`);
    for (const id of ids) await stack.until(id, isCompleted);
  });
});

describe('a failure of Gemini', () => {
  // Row: Gemini returns 429 or 503
  test('parks the task on a 429 without spending an attempt', async (t) => {
    const stack = await startStack(t);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    stack.model.script([
      { match: 'busy', reactions: [{ status: 429, retryDelay: '6s' }, { chunks: ['done'] }] },
    ]);
    const task = await stack.submit('are you busy');
    await waitFor('the task to be parked', async () => {
      const { rows } = await stack.pool.query(
        `select attempts, lease_until, run_at > now() as parked from gates where task_id = $1`,
        [task.id],
      );
      return rows[0].parked && rows[0].lease_until === null && rows[0].attempts === 0;
    });
    await stack.until(task.id, isCompleted);
  });

  // Row: Gemini fails otherwise, or its responses are cut
  test('parks the task with a status that says for what it waits, on repeated 500s', async (t) => {
    const stack = await startStack(t);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    stack.model.script([{ match: 'broken', reactions: [{ status: 500 }], repeat: true }]);
    const task = await stack.submit('are you broken');
    const waiting = await stack.until(task.id, ({ status }) => status.message !== undefined);
    assert.equal(waiting.status.state, 'TASK_STATE_WORKING');
    assert.match(
      waiting.status.message.parts[0].text,
      /^Waiting for the model gemini-.* since 20.*status 500/,
    );
    await waitFor('the task to be parked', async () => {
      const { rows } = await stack.pool.query(
        `select attempts, lease_until, run_at > now() as parked from gates where task_id = $1`,
        [task.id],
      );
      return rows[0].parked && rows[0].lease_until === null && rows[0].attempts === 0;
    });
  });

  // Row: Gemini returns 400, blocks, or returns nothing
  test('fails the task on a 400 with a message that says why', async (t) => {
    const stack = await startStack(t);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    stack.model.script([{ match: 'bad', reactions: [{ status: 400 }] }]);
    const task = await stack.submit('bad request');
    const failed = await stack.until(task.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
    assert.ok(failed.status.message.parts[0].text.length > 20);
  });
});

describe('a webhook', () => {
  // Row: a webhook receiver is down
  test('is delivered for all events, in order, after its receiver was down', async (t) => {
    const { stack } = await startScriptedStack(t, { WEBHOOK_SCHEDULE_SECONDS: '0,0.3,0.3,0.3,0.3' });
    const receiver = await startReceiver(t);
    receiver.answer(500, 0, 200);
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
    const task = await stack.submit('say hello', {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
    });
    const received = await receiver.count(5);
    const ids = received.map(({ headers }) => headers['webhook-id']);
    assert.deepEqual([ids[0], ids[0], ids[0]], ids.slice(0, 3), 'the first event, three times under one id');
    assert.equal(new Set(ids).size, 3);
    assert.match(received[4]!.body, /hello/);
    const { rows } = await stack.pool.query(
      `select attempt, status from delivery_attempts where task_id = $1 and seq = 1
       union all
       select attempts, status from deliveries where task_id = $1 and seq = 1 and started_at is not null
       order by attempt`,
      [task.id],
    );
    assert.deepEqual(
      rows.map(({ status }) => status),
      // The connection that was closed had been used before: the request is repeated at once, in the same attempt.
      [500, 200],
    );
  });
});

describe('a stream', () => {
  // Row: a client leaves a stream
  // [STREAM-ORDER-004]
  test('does not stop its task when its client leaves', async (t) => {
    const { stack } = await startScriptedStack(t);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const parts = [{ text: 'progress one\nwait 700\nsay end' }];
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts };
    const response = await postJsonRpc(stack.apiUrl, 'SendStreamingMessage', { message });
    const events = readSse(response);
    const first = await events.next();
    assert.ok(first.done === false);
    await events.return();
    const done = await stack.until(first.value.data.result.task.id, isCompleted);
    assert.equal(done.artifacts?.[0]?.parts[0]?.text, 'end');
  });
});

async function publishWakeup(pubsub: PubSub, taskId: string): Promise<void> {
  await pubsub.topic('longhaul-turns').publishMessage({ json: { taskId, turn: 1 } });
}

/** Resolves when Pub/Sub has accepted every wake-up. */
async function waitForEmptyOutbox(stack: Stack): Promise<void> {
  await waitFor(
    'an empty outbox',
    async () => (await stack.pool.query(`select from outbox`)).rows.length === 0,
  );
}
