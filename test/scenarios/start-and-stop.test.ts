/** How services begin when the database is not there yet, how they answer while it is out of reach, and how they end. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/ports.ts';
import { isCompleted, startStack, type Stack } from '../support/stack.ts';

/** Cloud Run kills what is still there ten seconds after SIGTERM. */
const graceMs = 10_000;

const scripted = (t: TestContext, env: Record<string, string> = {}) =>
  startStack(t, { AGENT_MODULE: path.resolve('test/support/agents/scripted.ts'), ...env });

function call(stack: Stack, method: string, params: object): Promise<Response> {
  return fetch(`${stack.apiUrl}/a2a/jsonrpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
}

const sendOf = (text: string, returnImmediately = true) => ({
  message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] },
  configuration: { returnImmediately },
});

const statusOf = async (url: string): Promise<number> => (await fetch(url)).status;

test('services that start before their database wait for it, and say that they do', async (t) => {
  const stack = await scripted(t);
  const port = await freePort();
  const awayUrl = Object.assign(new URL(stack.databaseUrl), { port: String(port) }).href;
  const services = await Promise.all(
    (['api', 'worker', 'dispatcher'] as const).map((kind) => stack.start(kind, { DATABASE_URL: awayUrl })),
  );
  for (const { url } of services) {
    assert.equal(await statusOf(`${url}/health/live`), 200);
    assert.equal(await statusOf(`${url}/health/ready`), 503);
  }
  const refused = await call(stack, 'SendMessage', sendOf('say too early'));
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '2']);
  await openDoor(t, port, stack.databaseUrl);
  for (const { url } of services) {
    while ((await statusOf(`${url}/health/ready`)) !== 200) await sleep(50);
  }
  const task = await stack.submit('say hello');
  await stack.until(task.id, isCompleted);
});

test('a front door without a free connection says when to come again, and comes back by itself', async (t) => {
  const stack = await scripted(t, { DATABASE_POOL_SIZE: '2' });
  await stack.start('api');
  const locker = await stack.pool.connect();
  await locker.query('begin');
  await locker.query('lock table tasks in access exclusive mode');
  const lists = [1, 2].map(() => call(stack, 'ListTasks', {}));
  await untilRows(stack, waitingForLock, 2);
  const refused = await call(stack, 'SendMessage', sendOf('say hello'));
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '2']);
  await locker.query('rollback');
  locker.release();
  for (const { status } of await Promise.all(lists)) assert.equal(status, 200);
  assert.equal((await call(stack, 'SendMessage', sendOf('say hello'))).status, 200);
});

test('a front door that stops answers what it has begun, and has streams come back', async (t) => {
  const stack = await scripted(t);
  const [api] = await Promise.all([stack.start('api'), stack.start('worker')]);
  const task = await stack.submit('wait 30000');
  await stack.until(task.id, (one) => one.status.state === 'TASK_STATE_WORKING');
  const stream = await call(stack, 'SubscribeToTask', { id: task.id });
  const waiting = call(stack, 'SendMessage', sendOf('wait 30000', false));
  await untilRows(stack, `select from gates where worker is not null`, 2);
  const locker = await stack.pool.connect();
  await locker.query('begin');
  await locker.query('lock table gates in exclusive mode');
  const begun = call(stack, 'SendMessage', sendOf('say hello'));
  await untilRows(stack, waitingForLock, 1);

  const began = performance.now();
  api.running.child.kill('SIGTERM');
  await api.running.line(/"draining"/);
  await locker.query('rollback');
  locker.release();
  assert.match(await stream.text(), /event: error\ndata: .*Subscribe to the task again.*\n\n$/);
  const { result } = (await (await waiting).json()) as { result: { task: { status: { state: string } } } };
  assert.equal(result.task.status.state, 'TASK_STATE_WORKING');
  assert.equal((await begun).status, 200);
  assert.deepEqual(await api.running.exited, { code: 0, signal: null });
  assert.ok(performance.now() - began < graceMs);
});

/** A way to the database, where there was none. */
async function openDoor(t: TestContext, port: number, databaseUrl: string): Promise<void> {
  const { hostname, port: behind } = new URL(databaseUrl);
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    const database = connect(Number(behind), hostname);
    socket.on('error', () => database.destroy()).pipe(database);
    database.on('error', () => socket.destroy()).pipe(socket);
  });
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
}

/** What the front door of this test waits for; the server is shared with other tests. */
const waitingForLock = `select from pg_stat_activity
  where wait_event_type = 'Lock' and datname = current_database() and application_name = 'longhaul-api'`;

async function untilRows(stack: Stack, query: string, count: number): Promise<void> {
  const deadline = performance.now() + 30_000;
  while ((await stack.pool.query(query)).rows.length < count) {
    assert.ok(performance.now() < deadline, `not ${count} rows: ${query}`);
    await sleep(20);
  }
}
