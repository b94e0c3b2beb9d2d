/** How services start without their database, respond while it is unavailable, and stop. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { runAdmin } from '../../support/clients/admin.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { freePort } from '../../support/network/ports.ts';
import { runNode } from '../../support/processes/processes.ts';
import { getStepRuns, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { isCompleted, type Stack } from '../../support/stack.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Cloud Run kills a process ten seconds after SIGTERM. */
const graceMs = 10_000;

/** Requests of the api of this test that wait for a lock; the server is shared with other tests. */
const waitingForLock = `select from pg_stat_activity
  where wait_event_type = 'Lock' and datname = current_database() and application_name = 'longhaul-api'`;

// Row: the database is missing at start
test('services report not ready when they start before their database', async (t) => {
  const { stack } = await startScriptedStack(t);
  const port = await freePort();
  const proxyUrl = Object.assign(new URL(stack.databaseUrl), { port: String(port) }).href;
  const services = await Promise.all(
    (['api', 'worker', 'dispatcher'] as const).map((kind) => stack.start(kind, { DATABASE_URL: proxyUrl })),
  );
  for (const { url } of services) {
    assert.equal(await getStatus(`${url}/health/live`), 200);
    assert.equal(await getStatus(`${url}/health/ready`), 503);
  }
  const refused = await send(stack, 'say too early');
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '2']);
  await startProxy(t, port, stack.databaseUrl);
  for (const { url } of services) {
    await waitFor(`${url} to be ready`, async () => (await getStatus(`${url}/health/ready`)) === 200);
  }
  const task = await stack.submit('say hello');
  await stack.until(task.id, isCompleted);
});

test('a worker on standby has no connections, and runs the agent of its start', async (t) => {
  const { stack } = await startScriptedStack(t);
  const agent = writeTempFile(t, 'agent.mjs', 'nonsense');
  const standby = runNode(t, ['services/worker/standby.ts'], { env: { AGENT_MODULE: agent } });
  await stack.start('api');
  const connected = `select from pg_stat_activity
    where datname = current_database() and application_name = 'longhaul-worker'`;
  assert.equal((await stack.pool.query(connected)).rowCount, 0);
  writeFileSync(agent, `export default { run: async () => ({ direct: 'by the agent of its start' }) };`);
  (standby.child as ChildProcess).send({ ...stack.env, AGENT_MODULE: agent, PORT: '0' });
  await standby.line(/"message":"ready"/);
  const { id } = await stack.submit('go');
  const { status } = await stack.until(id, isCompleted);
  assert.equal(status.message.parts[0].text, 'by the agent of its start');
});

// Row: the database is unreachable, or the pool is exhausted
test('services are not ready without the key of stored secrets', async (t) => {
  const { stack } = await startScriptedStack(t);
  await stack.pool.query(`
    with config as (
      insert into webhook_configs (task_id, id, tenant, owner, url, events, protocol_version, signing_secret)
      values (gen_random_uuid(), 'a', '', 'o', 'https://example.com/', 'all', '1.0', '1.lost.AAAA')
    )
    insert into encryption_checks values ('lost', '1.lost.AAAA')`);
  const services = await Promise.all([stack.start('api'), stack.start('dispatcher')]);
  for (const { url, running } of services) {
    await waitFor(`${url} to report the lost key`, async () => {
      const response = await fetch(`${url}/health/ready`);
      assert.equal(response.status, 503);
      const body: unknown = await response.json();
      return isDeepStrictEqual(body, { status: 'not ready', code: 'keys_lost' });
    });
    await running.line(/secrets cannot be decrypted.*drop-secrets/);
  }
});

test('the api returns 503 when it has no free connection', async (t) => {
  const { stack } = await startScriptedStack(t, { DATABASE_POOL_SIZE: '2' });
  await stack.start('api');
  const locker = await stack.pool.connect();
  await locker.query('begin');
  await locker.query('lock table tasks in access exclusive mode');
  const lists = [1, 2].map(() => postJsonRpc(stack.apiUrl, 'ListTasks', {}));
  await waitForRows(stack, waitingForLock, 2);
  const refused = await send(stack, 'say hello');
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '2']);
  await locker.query('rollback');
  locker.release();
  for (const { status } of await Promise.all(lists)) assert.equal(status, 200);
  assert.equal((await send(stack, 'say hello')).status, 200);
});

test('a worker that a deploy drains ends its step, and takes no more turns', async (t) => {
  const { stack, tool } = await startScriptedStack(t);
  const [, old] = await Promise.all([
    stack.start('api'),
    stack.start('worker', { WORKER_RELEASE: '1.0', DRAIN_SECONDS: '3' }),
  ]);
  const task = await stack.submit('step long 6000\nstep next\nsay done');
  await waitFor('the step', () => getStepRuns(tool, task.id).length === 1);
  await stack.start('worker', { WORKER_RELEASE: '2.0' });
  const { code, output } = await runAdmin(stack.env, 'drain', '--keep', '2.0', '--wait', '60');
  assert.deepEqual([code, output], [0, 'workers of other releases: 1, turns that they run: 0']);
  const later = await stack.submit('say later');
  for (const { id } of [task, later]) await stack.until(id, isCompleted);
  assert.equal(getStepRuns(tool, task.id).length, 2, 'no step ran twice');
  const workers = await stack.pool.query<{ worker: string }>('select worker from gates');
  assert.ok(
    workers.rows.every(({ worker }) => worker.startsWith('2.0/')),
    JSON.stringify(workers.rows),
  );
  assert.equal(old.running.child.exitCode, null, 'it lives until its platform ends it');
  old.running.child.kill('SIGTERM');
  assert.deepEqual(await old.running.exited, { code: 0, signal: null });
});

// Row: api gets SIGTERM
test('the api answers its requests and asks streams to resume when it stops', async (t) => {
  const { stack } = await startScriptedStack(t);
  const [api] = await Promise.all([stack.start('api'), stack.start('worker')]);
  const task = await stack.submit('wait 30000');
  await stack.until(task.id, ({ status }) => status.state === 'TASK_STATE_WORKING');
  const stream = await postJsonRpc(stack.apiUrl, 'SubscribeToTask', { id: task.id });
  const waiting = send(stack, 'wait 30000', { returnImmediately: false });
  await waitForRows(stack, `select from gates where worker is not null`, 2);
  const locker = await stack.pool.connect();
  await locker.query('begin');
  await locker.query('lock table gates in exclusive mode');
  const pending = send(stack, 'say hello');
  await waitForRows(stack, waitingForLock, 1);

  const startedAt = performance.now();
  api.running.child.kill('SIGTERM');
  await api.running.line(/"draining"/);
  await locker.query('rollback');
  locker.release();
  assert.match(await stream.text(), /event: error\ndata: .*Subscribe to the task again.*\n\n$/);
  const { result } = (await (await waiting).json()) as { result: { task: { status: { state: string } } } };
  assert.equal(result.task.status.state, 'TASK_STATE_WORKING');
  assert.equal((await pending).status, 200);
  assert.deepEqual(await api.running.exited, { code: 0, signal: null });
  assert.ok(performance.now() - startedAt < graceMs);
});

function send(stack: Stack, text: string, configuration = { returnImmediately: true }): Promise<Response> {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
  return postJsonRpc(stack.apiUrl, 'SendMessage', { message, configuration });
}

async function getStatus(url: string): Promise<number> {
  return (await fetch(url)).status;
}

/** Makes the database reachable on a port. */
async function startProxy(t: TestContext, port: number, databaseUrl: string): Promise<void> {
  const { hostname, port: databasePort } = new URL(databaseUrl);
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    const database = connect(Number(databasePort), hostname);
    socket.on('error', () => database.destroy()).pipe(database);
    database.on('error', () => socket.destroy()).pipe(socket);
  });
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
}

async function waitForRows(stack: Stack, query: string, count: number): Promise<void> {
  await waitFor(`${count} rows: ${query}`, async () => (await stack.pool.query(query)).rows.length >= count);
}
