/** The whole system with encrypted contents: a search of every table finds no byte of them at any time. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { createContentKey, searchTables } from '../../support/database/contents.ts';
import { openTestPool } from '../../support/database/postgres.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import { readSse } from '../../support/clients/sse.ts';
import { isCompleted, type Stack } from '../../support/stack.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

const timeout = 120_000;
const marker = 'marker-of-a-secret';
const versioned = { 'a2a-version': '1.0', 'content-type': 'application/json' };

describe('with encrypted contents', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  before(async () => {
    ({ stack } = await startScriptedStack(cleanup, { CONTENT_ENCRYPTION_KEYS: createContentKey() }));
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  });

  async function findMarker(): Promise<string[]> {
    const { db, pool } = openTestPool(stack.databaseUrl);
    try {
      return await searchTables(db, marker);
    } finally {
      await pool.end();
    }
  }

  test('a task streams, stores a file, asks, continues and is rerun', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    // The receiver answers with what it has received.
    receiver.answerBy(({ body }, response) => void response.writeHead(200).end(body));
    const script = `progress ${marker}\nstream ${marker} and more\nsay ${marker}\nask ${marker}`;
    const { id } = await stack.submit(script, {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
      metadata: { note: marker },
    });
    const response = await postJsonRpc(stack.apiUrl, 'SubscribeToTask', { id });
    const events: unknown[] = [];
    for await (const event of readSse(response)) events.push(event);
    assert.ok(JSON.stringify(events).includes(marker));
    await stack.until(id, ({ status }) => status.state === 'TASK_STATE_INPUT_REQUIRED');
    assert.deepEqual(await findMarker(), []);
    await stack.submit(`file 1500000 ${marker}.png`, { message: { taskId: id } });
    const task = await stack.until(id, isCompleted);
    assert.ok((task.history ?? []).some(({ parts }) => JSON.stringify(parts).includes(marker)));
    const file = JSON.stringify(task).match(/"url":"([^"]+)"/)?.[1] ?? '';
    const content = Buffer.from(await (await fetch(file)).arrayBuffer());
    assert.deepEqual(content, Buffer.alloc(1_500_000, 'file'));
    await receiver.match(/TASK_STATE_COMPLETED/);
    assert.ok(receiver.received.some(({ body }) => body.includes(marker)));
    assert.deepEqual(await findMarker(), []);

    const rerun = await fetch(`${stack.apiUrl}/a2a/v1/tasks:rerun`, {
      method: 'POST',
      headers: versioned,
      body: JSON.stringify({ taskIds: [id] }),
    });
    assert.equal(rerun.status, 200, await rerun.clone().text());
    const search = await fetch(`${stack.apiUrl}/a2a/v1/search?error=x`, { headers: versioned });
    assert.equal(search.status, 400);
    assert.match(await search.text(), /error is not available because contents are encrypted/);
    const fails = await stack.submit(`fail ${marker}`);
    await stack.until(fails.id, ({ status }) => status.state === 'TASK_STATE_FAILED');
    assert.deepEqual(await findMarker(), []);
  });

  test('services with another key, or none, are not ready and take no turns', { timeout }, async () => {
    const { stack: own } = await startScriptedStack(cleanup, {
      CONTENT_ENCRYPTION_KEYS: createContentKey('one'),
    });
    await own.start('api');
    const { id } = await own.submit('say hello');
    const wrong = [
      own.start('worker', { CONTENT_ENCRYPTION_KEYS: createContentKey('two') }),
      own.start('worker', { CONTENT_ENCRYPTION_KEYS: '' }),
      own.start('dispatcher', { CONTENT_ENCRYPTION_KEYS: '' }),
    ];
    for (const { url, running } of await Promise.all(wrong)) {
      const response = await fetch(`${url}/health/ready`);
      assert.deepEqual(
        [response.status, await response.json()],
        [503, { status: 'not ready', code: 'keys_lost' }],
      );
      await running.line(/cannot be unwrapped by|contents were stored encrypted/);
    }
    await own.start('worker');
    await own.until(id, isCompleted);
    const { rows } = await own.pool.query('select fence from gates where task_id = $1', [id]);
    assert.deepEqual(rows, [{ fence: 2 }], 'one claim, and the end');
  });
});
