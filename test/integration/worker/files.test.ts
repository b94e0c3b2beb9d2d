/** Large files of tasks: stored once, served to their owner, named by address wherever they would have stood. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { createFileUrl, parseFileUrl } from '#shared/domain/file-url.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/api-keys.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { startStack } from '../../support/stack.ts';
import { connect } from '../../support/webhooks/webhooks.ts';

interface Caller {
  key: Record<string, string>;
  tenant: string;
}
const bytes = 300_000;
const scripted = fileURLToPath(new URL('../../support/agents/scripted.ts', import.meta.url));

test('a large file is stored once and served to the owner of its task alone', async (t) => {
  const stack = await startStack(t, { ...apiKeysEnv(), AGENT_MODULE: scripted });
  await Promise.all((['api', 'worker', 'dispatcher'] as const).map((kind) => stack.start(kind)));
  const receiver = await startReceiver(t);
  const alice: Caller = { key: aliceKey, tenant: 'red' };
  const send = async ({ key, tenant }: Caller, text: string) => {
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
    const configuration = { taskPushNotificationConfig: { url: receiver.url } };
    const { result } = await stack.rpc('SendMessage', { message, configuration, tenant }, key);
    return result.task;
  };
  const task = await send(alice, `file ${bytes} plot – "ä".png`);
  const [{ parts }, streamed] = task.artifacts;
  const [part] = parts;
  const address: string = part.url;

  await t.test('artifacts, streamed ones, messages and webhooks name its address', async () => {
    assert.match(address, new RegExp(`^${stack.apiUrl}/files/${task.id}/[\\w-]{43}\\?tenant=red$`));
    assert.deepEqual(part, { url: address, mediaType: 'image/png', filename: 'plot – "ä".png' });
    assert.deepEqual([streamed.parts[0], task.status.message.parts[0]], [part, part]);
    const last = (await receiver.count(3)).at(-1)!;
    assert.deepEqual(JSON.parse(last.body).task.artifacts[0].parts, [part]);
    const { rows } = await stack.pool.query('select octet_length(content) as size from files');
    assert.deepEqual(rows, [{ size: bytes }]);
    const { rows: events } = await stack.pool.query(
      'select max(octet_length(payload::text)) as max from events',
    );
    assert.ok(events[0].max < 2000);
  });

  await t.test('its owner gets it, to keep, and is told when it has it already', async () => {
    const response = await fetch(address, { headers: aliceKey });
    assert.equal(response.status, 200);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.alloc(bytes, 'file'));
    const header = (name: string) => response.headers.get(name);
    assert.equal(header('content-type'), 'image/png');
    assert.equal(header('x-content-type-options'), 'nosniff');
    assert.equal(header('cache-control'), 'private, max-age=31536000, immutable');
    assert.equal(
      header('content-disposition'),
      'attachment; filename="plot _ ___.png"; filename*=UTF-8\'\'plot%20%E2%80%93%20%22%C3%A4%22.png',
    );
    const again = await fetch(address, { headers: { ...aliceKey, 'if-none-match': header('etag')! } });
    assert.deepEqual([again.status, await again.text()], [304, '']);
    assert.equal((await fetch(address, { method: 'HEAD', headers: aliceKey })).status, 200);
  });

  await t.test('to others, and by another address, it does not exist', async () => {
    const missing = async (url: string, headers: Record<string, string>) => {
      const response = await fetch(url, { headers });
      assert.equal(response.status, 404);
      assert.equal(response.headers.get('etag'), null);
      return (await response.text()).replaceAll(/(file|task) \S+/g, '');
    };
    const plain = address.replace(/\?.*/, '');
    const nowhere = await missing(`${stack.apiUrl}/files/${uuidv7()}/x`, aliceKey);
    assert.equal(await missing(address, bobKey), nowhere);
    await missing(plain, aliceKey);
    await missing(`${plain}?tenant=blue`, aliceKey);
    await missing(`${plain.slice(0, -1)}!?tenant=red`, aliceKey);
    assert.equal((await fetch(address)).status, 401);
  });

  await t.test('a later task of its owner, and nobody else’s, can be given it by its address', async () => {
    const said = async (caller: Caller) =>
      (await send(caller, `size ${address}`)).status.message.parts[0].text;
    assert.equal(await said(alice), String(bytes));
    assert.equal(await said({ ...alice, tenant: 'blue' }), 'undefined');
    assert.equal(await said({ ...alice, key: bobKey }), 'undefined');
  });

  await t.test('a small one stays where it is', async () => {
    const small = await send(alice, 'file 1000 a.png');
    assert.equal(small.artifacts[0].parts[0].raw, Buffer.alloc(1000, 'file').toString('base64'));
  });

  await t.test('it goes with its task', async () => {
    const db = connect(stack.databaseUrl);
    const { owner } = await db
      .selectFrom('tasks')
      .select('owner')
      .where('id', '=', task.id)
      .executeTakeFirstOrThrow();
    await deleteTasksOfOwner(db, { tenant: 'red', owner }, 10);
    await db.destroy();
    assert.equal((await stack.pool.query('select from files')).rowCount, 0);
    assert.equal((await fetch(address, { headers: aliceKey })).status, 404);
  });
});

test('only addresses of this service name a stored file', () => {
  const place = { taskId: uuidv7(), hash: 'h'.repeat(43) };
  const home = 'https://a.example';
  for (const tenant of ['', 'a b'])
    assert.deepEqual(parseFileUrl(home, createFileUrl(home, tenant, place)), place);
  const { taskId, hash } = place;
  for (const url of [
    `https://b.example/files/${taskId}/${hash}`,
    `${home}/files/${taskId}/${hash}/more`,
    `${home}/files/${taskId}/short`,
    `${home}/files/x/${hash}`,
    `${home}.b.example/files/${taskId}/${hash}`,
  ]) {
    assert.equal(parseFileUrl(home, url), undefined, url);
  }
});
