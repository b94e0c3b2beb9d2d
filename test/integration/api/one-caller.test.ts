/** One caller, or one client without credentials, against a real api process: the others are served as before. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';
import { freePort } from '../../support/network/ports.ts';
import { connectGrpc, encodeLargeSend, startCall } from '../../support/clients/raw-grpc.ts';
import { startStack, type RunningService, type Stack, type TaskJson } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('one caller of a process', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let api: RunningService;
  let grpcTarget: string;

  before(async () => {
    const grpcPort = await freePort();
    grpcTarget = `127.0.0.1:${grpcPort}`;
    stack = await startStack(cleanup, {
      ...apiKeysEnv(),
      GRPC_PORT: String(grpcPort),
      MAX_STREAMS_PER_CALLER: '5',
      AUTH_FAILURES_PER_MINUTE: '0',
      DATABASE_POOL_SIZE: '10',
    });
    api = await stack.start('api');
  });

  function getMemory(): number {
    const text = readFileSync(`/proc/${api.running.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]) * 1024;
  }

  function createMessage(): { messageId: string; role: string; parts: object[] } {
    return { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hello' }] };
  }

  function post(method: string, params: object, headers: Record<string, string>): Promise<Response> {
    return postJsonRpc(stack.apiUrl, method, params, { headers });
  }

  async function startTask(headers: Record<string, string>): Promise<string> {
    const params = { message: createMessage(), configuration: { returnImmediately: true } };
    const { result } = (await (await post('SendMessage', params, headers)).json()) as {
      result: { task: TaskJson };
    };
    return result.task.id;
  }

  test('costs no memory with large messages without credentials', async (t) => {
    if (process.platform !== 'linux') return t.skip('reads /proc');
    const message = encodeLargeSend(1_000_000);
    const before = getMemory();
    const calls = Array.from({ length: 20 }, () => {
      const { stream, closed } = startCall(connectGrpc(t, grpcTarget), 'SendMessage');
      stream.end(message);
      return closed;
    });
    for (const call of calls) {
      const { status: code } = await call;
      assert.ok(code === status.UNAUTHENTICATED || code === status.RESOURCE_EXHAUSTED, String(code));
    }
    const grown = getMemory() - before;
    assert.ok(grown < 150 * 1024 * 1024, `${grown} bytes more`);
  });

  test('gets 429 after failed authentications, with few log lines', async () => {
    const limited = await stack.start('api', {
      PORT: '0',
      GRPC_PORT: '',
      AUTH_FAILURES_PER_MINUTE: '1',
    });
    const list = (key: string) =>
      postJsonRpc(limited.url, 'ListTasks', {}, { headers: { 'x-api-key': key } });
    assert.equal((await list(bobKey['x-api-key'])).status, 200);
    assert.equal((await list('wrong')).status, 401);
    const refused = await Promise.all(Array.from({ length: 199 }, (_, i) => list(`${i}`)));
    for (const response of refused) {
      assert.equal(response.status, 429);
      assert.ok(Number(response.headers.get('retry-after')) > 0);
      await response.body?.cancel();
    }
    assert.equal((await list(aliceKey['x-api-key'])).status, 429, 'a key that is not known yet');
    assert.equal((await list(bobKey['x-api-key'])).status, 200, 'a known caller of the same address');
    await limited.kill('SIGTERM');
    const lines = limited.running.output().match(/authentication failed/g)?.length ?? 0;
    assert.ok(lines >= 1 && lines <= 5, `${lines} lines`);
  });

  test('gets its tasks at once when it has too many waiting sends', async () => {
    const messages = Array.from({ length: 20 }, createMessage);
    const answered: TaskJson[] = [];
    const sends = messages.map(async (message) => {
      const response = await post('SendMessage', { message }, aliceKey);
      assert.equal(response.status, 200);
      answered.push(((await response.json()) as { result: { task: TaskJson } }).result.task);
    });
    await waitFor('the sends over the limit', () => answered.length === 15);
    assert.ok(answered.every((task) => task.status.state === 'TASK_STATE_SUBMITTED'));
    const stream = await post('SendStreamingMessage', { message: createMessage() }, aliceKey);
    assert.equal(stream.status, 429, 'a stream needs a place');
    assert.match(await stream.text(), /5 open streams and waiting calls, the most allowed per caller/);

    const list = await post('ListTasks', { historyLength: 1, pageSize: 50 }, aliceKey);
    const { result } = (await list.json()) as { result: { tasks: TaskJson[] } };
    const stored = new Set(result.tasks.map(({ history }) => history?.[0]?.messageId));
    assert.equal(result.tasks.length, 20, 'each message is stored once');
    assert.ok(messages.every(({ messageId }) => stored.has(messageId)));
    for (const { id } of result.tasks) await (await post('CancelTask', { id }, aliceKey)).text();
    await Promise.all(sends);
    assert.equal(answered.length, 20);
    assert.equal(answered.filter((task) => task.status.state === 'TASK_STATE_CANCELED').length, 5);
  });

  test('is disconnected if it keeps sending a refused body', async (t) => {
    const socket = createConnection(Number(new URL(stack.apiUrl).port), '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    let received = '';
    socket.on('data', (chunk) => (received += String(chunk)));
    socket.write('POST /a2a/jsonrpc HTTP/1.1\r\nhost: a\r\ncontent-length: 8000000\r\n\r\n{');
    await waitFor('the refusal', () => received.startsWith('HTTP/1.1 401'));
    const drip = setInterval(() => socket.writable && socket.write(' '), 100);
    t.after(() => clearInterval(drip));
    await waitFor('the end of the connection', () => socket.closed, { boundMs: 30_000 });
  });

  describe('whose requests wait for a lock of its task', () => {
    const redeliver = (taskId: string): Promise<Response> =>
      fetch(`${stack.apiUrl}/a2a/v1/tasks/${taskId}/webhooks/hook/deliveries/1/redeliver`, {
        method: 'POST',
        headers: { ...aliceKey, 'content-type': 'application/json' },
        body: '{}',
      });
    const requests: Record<string, (taskId: string) => Promise<Response>> = {
      CreateTaskPushNotificationConfig: (taskId) =>
        post(
          'CreateTaskPushNotificationConfig',
          { taskId, id: 'hook', url: 'http://127.0.0.1:1/' },
          aliceKey,
        ),
      DeleteTaskPushNotificationConfig: (taskId) =>
        post('DeleteTaskPushNotificationConfig', { taskId, id: 'other' }, aliceKey),
      CancelTask: (id) => post('CancelTask', { id }, aliceKey),
      SendMessage: (taskId) => {
        const configuration = { returnImmediately: true };
        return post('SendMessage', { message: { ...createMessage(), taskId }, configuration }, aliceKey);
      },
      redeliver,
    };
    for (const [name, request] of Object.entries(requests)) {
      test(`leaves connections for others: ${name}`, async () => {
        const [taskId, other] = [await startTask(aliceKey), await startTask(bobKey)];
        await requests['CreateTaskPushNotificationConfig']?.(taskId);
        const holder = await stack.pool.connect();
        await holder.query('begin');
        await holder.query('select from gates where task_id = $1 for update', [taskId]);
        const countWaiting = async (): Promise<number> => {
          const { rows } = await holder.query(
            `select count(*)::int from pg_stat_activity where wait_event_type = 'Lock'`,
          );
          return rows[0].count;
        };
        const answers = Array.from({ length: 30 }, () => request(taskId));
        await waitFor('requests to wait for the lock', async () => (await countWaiting()) >= 2);
        for (let n = 0; n < 3; n++) assert.equal((await post('GetTask', { id: other }, bobKey)).status, 200);
        const waiting = await countWaiting();
        await holder.query('commit');
        holder.release();
        await Promise.all(answers);
        assert.equal(waiting, 2);
      });
    }
  });
});
