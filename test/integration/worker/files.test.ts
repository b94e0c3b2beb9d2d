/** Large files of tasks: stored once, served to their owner, and replaced by their URL in all output. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { createFileUrl, parseFileUrl } from '#shared/domain/file-url.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { skipIfEncrypted } from '../../support/database/contents.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { openTestPool } from '../../support/database/postgres.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import type { Stack } from '../../support/stack.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

interface TestCaller {
  key: Record<string, string>;
  tenant: string;
}

const bytes = 300_000;
const alice: TestCaller = { key: aliceKey, tenant: 'red' };

describe('a large file', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  before(async () => {
    ({ stack } = await startScriptedStack(cleanup, apiKeysEnv()));
    await Promise.all((['api', 'worker', 'dispatcher'] as const).map((kind) => stack.start(kind)));
  });

  /** Sends a message, waits, and returns its task. */
  async function send({ key, tenant }: TestCaller, text: string, configuration = {}) {
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
    const { result } = await stack.rpc('SendMessage', { message, configuration, tenant }, key);
    return result.task;
  }

  /** Lets an agent write a file, and returns the URL of the file. */
  async function writeFile(caller = alice): Promise<string> {
    const task = await send(caller, `file ${bytes} plot – "ä".png`);
    return task.artifacts[0].parts[0].url;
  }

  test(
    'is stored once and replaced by its URL in artifacts, messages and webhooks',
    { skip: skipIfEncrypted },
    async (t) => {
      const receiver = await startReceiver(t);
      const task = await send({ key: aliceKey, tenant: 'green' }, `file ${bytes} plot – "ä".png`, {
        taskPushNotificationConfig: { url: receiver.url },
      });
      const [{ parts }, streamed] = task.artifacts;
      const [part] = parts;
      assert.match(part.url, new RegExp(`^${stack.apiUrl}/files/${task.id}/[\\w-]{43}\\?tenant=green$`));
      assert.deepEqual(part, { url: part.url, mediaType: 'image/png', filename: 'plot – "ä".png' });
      assert.deepEqual([streamed.parts[0], task.status.message.parts[0]], [part, part]);
      const last = (await receiver.count(3)).at(-1)!;
      assert.deepEqual(JSON.parse(last.body).task.artifacts[0].parts, [part]);
      const { rows } = await stack.pool.query(
        'select octet_length(content) as size from files where task_id = $1',
        [task.id],
      );
      assert.deepEqual(rows, [{ size: bytes }]);
      const { rows: events } = await stack.pool.query(
        'select max(octet_length(payload::text)) as max from events where task_id = $1',
        [task.id],
      );
      assert.ok(events[0].max < 2000);
    },
  );

  test('is served to its owner as an attachment that can be cached', async () => {
    const url = await writeFile();
    const response = await fetch(url, { headers: aliceKey });
    assert.equal(response.status, 200);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.alloc(bytes, 'file'));
    const header = (name: string) => response.headers.get(name);
    assert.equal(header('content-type'), 'image/png');
    assert.equal(header('x-content-type-options'), 'nosniff');
    assert.equal(header('cross-origin-resource-policy'), 'same-origin');
    assert.match(header('content-security-policy') ?? '', /^default-src 'none'; .*; sandbox$/);
    assert.equal(header('cache-control'), 'private, max-age=31536000, immutable');
    assert.equal(
      header('content-disposition'),
      'attachment; filename="plot _ ___.png"; filename*=UTF-8\'\'plot%20%E2%80%93%20%22%C3%A4%22.png',
    );
    const repeated = await fetch(url, { headers: { ...aliceKey, 'if-none-match': header('etag')! } });
    assert.deepEqual([repeated.status, await repeated.text()], [304, '']);
    const head = await fetch(url, { method: 'HEAD', headers: aliceKey });
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(bytes)]);
  });

  test('is served in pieces if it is larger than one', async () => {
    const size = 2.5 * 1024 * 1024;
    const task = await send(alice, `file ${size} a.png`);
    const response = await fetch(task.artifacts[0].parts[0].url, { headers: aliceKey });
    assert.equal(response.headers.get('content-length'), String(size));
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(Buffer.alloc(size, 'file')));
  });

  test('is not found by other callers, under other tenants or URLs', async () => {
    const getNotFound = async (url: string, headers: Record<string, string>) => {
      const response = await fetch(url, { headers });
      assert.equal(response.status, 404);
      assert.equal(response.headers.get('etag'), null);
      return (await response.text()).replaceAll(/(file|task) \S+/g, '');
    };
    const url = await writeFile();
    const withoutTenant = url.replace(/\?.*/, '');
    const unknown = await getNotFound(`${stack.apiUrl}/files/${uuidv7()}/x`, aliceKey);
    assert.equal(await getNotFound(url, bobKey), unknown);
    await getNotFound(withoutTenant, aliceKey);
    await getNotFound(`${withoutTenant}?tenant=blue`, aliceKey);
    await getNotFound(`${withoutTenant.slice(0, -1)}!?tenant=red`, aliceKey);
    assert.equal((await fetch(url)).status, 401);
  });

  test('can be read by later tasks of its owner only', async () => {
    const url = await writeFile();
    const readSize = async (caller: TestCaller) =>
      (await send(caller, `size ${url}`)).status.message.parts[0].text;
    assert.equal(await readSize(alice), String(bytes));
    assert.equal(await readSize({ ...alice, tenant: 'blue' }), 'undefined');
    assert.equal(await readSize({ ...alice, key: bobKey }), 'undefined');
  });

  test('is deleted with its task', async () => {
    const caller = { key: aliceKey, tenant: 'deleted' };
    const url = await writeFile(caller);
    const { db } = openTestPool(stack.databaseUrl);
    const { owner } = await db
      .selectFrom('tasks')
      .select('owner')
      .where('tenant', '=', caller.tenant)
      .executeTakeFirstOrThrow();
    await deleteTasksOfOwner(db, { tenant: caller.tenant, owner }, 10);
    await db.destroy();
    const { rowCount } = await stack.pool.query(
      `select from files where not exists (select from tasks where id = files.task_id)`,
    );
    assert.equal(rowCount, 0);
    assert.equal((await fetch(url, { headers: aliceKey })).status, 404);
  });

  test('stays inline if it is small', async () => {
    const task = await send(alice, 'file 1000 a.png');
    assert.equal(task.artifacts[0].parts[0].raw, Buffer.alloc(1000, 'file').toString('base64'));
  });
});

describe('the URL of a file', () => {
  const place = { taskId: uuidv7(), hash: 'h'.repeat(43) };
  const publicUrl = 'https://a.example';

  for (const tenant of ['', 'a b']) {
    test(`is parsed to the file of tenant "${tenant}"`, () => {
      assert.deepEqual(parseFileUrl(publicUrl, createFileUrl(publicUrl, tenant, place)), place);
    });
  }

  const { taskId, hash } = place;
  for (const url of [
    `https://b.example/files/${taskId}/${hash}`,
    `${publicUrl}/files/${taskId}/${hash}/more`,
    `${publicUrl}/files/${taskId}/short`,
    `${publicUrl}/files/x/${hash}`,
    `${publicUrl}.b.example/files/${taskId}/${hash}`,
  ]) {
    test(`is not ${url.replaceAll(hash, '{hash}').replaceAll(taskId, '{task}')}`, () => {
      assert.equal(parseFileUrl(publicUrl, url), undefined);
    });
  }
});
