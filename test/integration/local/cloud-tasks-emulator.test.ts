import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CloudTasksClient } from '@google-cloud/tasks';
import { credentials, status } from '@grpc/grpc-js';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { getRetryDelay } from '#services/local/cloud-tasks-emulator/queue-settings.ts';
import {
  startCloudTasksEmulator,
  type CloudTasksEmulatorOptions,
} from '#services/local/cloud-tasks-emulator/server.ts';
import { listen } from '../../support/listen.ts';
import { waitFor } from '../../support/wait-for.ts';

// The emulator needs no credentials. This keeps the client from looking for a metadata server.
process.env['METADATA_SERVER_DETECTION'] = 'none';

const location = 'projects/p/locations/us-central1';
const queueName = `${location}/queues/q`;

interface Dispatch {
  at: number;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** Starts a target that records its requests and responds with 200, or as set by `respondWith`. */
async function startTarget(t: TestContext) {
  const dispatches: Dispatch[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  let respond: (dispatch: Dispatch) => number | Promise<number> = () => 200;
  const server = createServer((request, response) => {
    void (async () => {
      const { method = '', url = '', headers } = request;
      const dispatch = { at: Date.now(), method, path: url, headers, body: await buffer(request) };
      dispatches.push(dispatch);
      for (const { count, resolve } of waiting) if (dispatches.length >= count) resolve();
      response.writeHead(await respond(dispatch)).end();
    })();
  });
  const targetUrl = await listen(t, server);
  return {
    url: targetUrl,
    dispatches,
    respondWith: (next: typeof respond) => (respond = next),
    /** Resolves when `count` requests have arrived in total. */
    received: (count: number) =>
      new Promise<void>((resolve) => {
        if (dispatches.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
  };
}

/** Starts the emulator without a queue. */
async function start(t: TestContext, options: Partial<CloudTasksEmulatorOptions> = {}) {
  const emulator = await startCloudTasksEmulator({ port: 0, ...options });
  const client = new CloudTasksClient({
    apiEndpoint: '127.0.0.1',
    port: emulator.port,
    sslCreds: credentials.createInsecure(),
    projectId: 'p',
  });
  t.after(async () => {
    await client.close();
    await emulator.close();
  });
  const target = await startTarget(t);
  return { emulator, client, target };
}

/** Starts the emulator with one queue, and returns a function that creates a task with a body. */
async function startWithQueue(
  t: TestContext,
  queue: object = {},
  options?: Partial<CloudTasksEmulatorOptions>,
) {
  const { emulator, client, target } = await start(t, options);
  await client.createQueue({ parent: location, queue: { name: queueName, ...queue } });
  const createTask = async (body: string): Promise<string> => {
    const httpRequest = { url: target.url, body: Buffer.from(body) };
    const [task] = await client.createTask({ parent: queueName, task: { httpRequest } });
    return task.name!;
  };
  return { emulator, client, target, createTask };
}

function waitUntilRemoved(client: CloudTasksClient, name: string): Promise<unknown> {
  return waitFor(`the removal of ${name}`, async () => {
    try {
      await client.getTask({ name });
      return false;
    } catch (error) {
      assert.equal((error as { code: number }).code, status.NOT_FOUND);
      return true;
    }
  });
}

describe('Cloud Tasks emulator: tasks', () => {
  test('dispatches a task as it was created, and removes it after a 2xx', async (t) => {
    const { client, target } = await startWithQueue(t);
    const name = `${queueName}/tasks/one`;
    await client.createTask({
      parent: queueName,
      task: {
        name,
        httpRequest: {
          url: `${target.url}/deliver?x=1`,
          httpMethod: 'PUT',
          headers: {
            'Content-Type': 'application/json',
            'X-Mine': 'yes',
            Host: 'ignored',
            'User-Agent': 'ignored',
          },
          body: Buffer.from('{"a":1}'),
        },
      },
    });
    await target.received(1);
    const [request] = target.dispatches;
    assert.equal(request!.method, 'PUT');
    assert.equal(request!.path, '/deliver?x=1');
    assert.equal(request!.body.toString(), '{"a":1}');
    assert.equal(request!.headers['content-type'], 'application/json');
    assert.equal(request!.headers['x-mine'], 'yes');
    assert.equal(request!.headers.host, new URL(target.url).host);
    assert.equal(request!.headers['user-agent'], 'Google-Cloud-Tasks');
    assert.equal(request!.headers['x-cloudtasks-queuename'], 'q');
    assert.equal(request!.headers['x-cloudtasks-taskname'], 'one');
    assert.equal(request!.headers['x-cloudtasks-taskretrycount'], '0');
    assert.equal(request!.headers['x-cloudtasks-taskexecutioncount'], '0');
    assert.ok(Math.abs(Number(request!.headers['x-cloudtasks-tasketa']) - Date.now() / 1000) < 5);
    await waitUntilRemoved(client, name);
  });

  test('dispatches a task without a schedule time immediately', async (t) => {
    const { target, createTask } = await startWithQueue(t);
    const latencies: number[] = [];
    for (let round = 1; round <= 6; round++) {
      const before = performance.now();
      await createTask('x');
      await target.received(round);
      latencies.push(performance.now() - before);
    }
    // Other load on the machine delays single rounds, so the fastest one counts.
    assert.ok(Math.min(...latencies) < 250, `each took ${Math.min(...latencies)} ms or more`);
  });

  test('dispatches a task at its schedule time', async (t) => {
    const { client, target } = await startWithQueue(t);
    const delays: number[] = [];
    for (let round = 1; round <= 3; round++) {
      const due = Date.now() + 300;
      const scheduleTime = { seconds: Math.floor(due / 1000), nanos: (due % 1000) * 1e6 };
      const task = { httpRequest: { url: target.url }, scheduleTime };
      await client.createTask({ parent: queueName, task });
      await target.received(round);
      delays.push(target.dispatches.at(-1)!.at - due);
    }
    assert.ok(Math.min(...delays) >= 0 && Math.min(...delays) < 250, `late by ${delays.join(', ')} ms`);
  });

  test('dispatches a thousand tasks once each, in the order of their schedule times', async (t) => {
    const rateLimits = { maxDispatchesPerSecond: 1e6, maxConcurrentDispatches: 1 };
    const { client, target } = await startWithQueue(t, { rateLimits }, { maxDispatchesPerSecond: 1e6 });
    await client.pauseQueue({ name: queueName });
    const past = { seconds: Math.floor(Date.now() / 1000) - 10 };
    // All past times become the current time. Future times order the tasks.
    const soon = Date.now() + 1500;
    await Promise.all(
      Array.from({ length: 1000 }, (_, i) => {
        const millis = soon + ((i * 7919) % 1000) / 10;
        const scheduleTime =
          i < 500 ? past : { seconds: Math.floor(millis / 1000), nanos: (millis % 1000) * 1e6 };
        const task = { httpRequest: { url: `${target.url}/${i}` }, scheduleTime };
        return client.createTask({ parent: queueName, task });
      }),
    );
    await client.resumeQueue({ name: queueName });
    await target.received(1000);
    assert.equal(new Set(target.dispatches.map(({ path }) => path)).size, 1000);
    const etas = target.dispatches.map(({ headers }) => Number(headers['x-cloudtasks-tasketa']));
    assert.deepEqual(
      etas,
      etas.toSorted((a, b) => a - b),
    );
  });

  test('refuses invalid tasks and accepts a schedule time within 30 days', async (t) => {
    const { client, target } = await start(t);
    const httpRequest = { url: target.url };
    const create = (task: object): Promise<unknown> => client.createTask({ parent: queueName, task });
    await assert.rejects(create({ httpRequest }), { code: status.NOT_FOUND });
    await client.createQueue({ parent: location, queue: { name: queueName } });

    const inDays = (days: number): object => ({ seconds: Math.floor(Date.now() / 1000) + days * 86_400 });
    await create({ httpRequest, scheduleTime: inDays(29.99) });
    const invalid = [
      { httpRequest, scheduleTime: inDays(30.01) },
      { httpRequest, dispatchDeadline: { seconds: 14 } },
      { httpRequest, dispatchDeadline: { seconds: 1801 } },
      { httpRequest: { ...httpRequest, body: Buffer.alloc(1024 * 1024 + 1) } },
      { httpRequest: { ...httpRequest, httpMethod: 'GET', body: Buffer.from('x') } },
      { httpRequest: { url: 'ftp://example.com' } },
      { httpRequest, name: `${queueName}/tasks/has space` },
      { httpRequest, name: `${location}/queues/other/tasks/t` },
      {},
    ];
    for (const task of invalid) await assert.rejects(create(task), { code: status.INVALID_ARGUMENT });
  });

  test('reserves the name of a task while it exists and for a while afterwards', async (t) => {
    const dedupMs = 2_000;
    const { client, target } = await startWithQueue(t, {}, { dedupMs });
    const task = { name: `${queueName}/tasks/same`, httpRequest: { url: target.url } };
    const scheduleTime = { seconds: Math.floor(Date.now() / 1000) + 3600 };
    await client.createTask({ parent: queueName, task: { ...task, scheduleTime } });
    const createAgain = (): Promise<unknown> => client.createTask({ parent: queueName, task });
    await assert.rejects(createAgain(), { code: status.ALREADY_EXISTS });
    await client.deleteTask({ name: task.name });
    const deletedAt = Date.now();
    await assert.rejects(createAgain(), { code: status.ALREADY_EXISTS });
    await waitFor('the end of the reservation', async () => {
      try {
        return await createAgain();
      } catch (error) {
        assert.equal((error as { code: number }).code, status.ALREADY_EXISTS);
        return false;
      }
    });
    assert.ok(Date.now() - deletedAt >= dedupMs - 10);
    await target.received(1);
    await waitUntilRemoved(client, task.name);
    await assert.rejects(createAgain(), { code: status.ALREADY_EXISTS });
  });

  test('signs an OIDC token for its audience', async (t) => {
    const { client, emulator, target } = await startWithQueue(t);
    const oidcToken = {
      serviceAccountEmail: 'caller@p.iam.gserviceaccount.com',
      audience: 'https://dispatcher',
    };
    const headers = { authorization: 'Bearer mine' };
    const httpRequest = { url: target.url, headers, oidcToken };
    await client.createTask({ parent: queueName, task: { httpRequest } });
    await target.received(1);
    const [, token = ''] = /^Bearer (.+)$/.exec(target.dispatches[0]!.headers.authorization ?? '') ?? [];
    const keys = createLocalJWKSet(await emulator.jwks());
    const { payload } = await jwtVerify(token, keys, {
      issuer: 'https://accounts.google.com',
      audience: oidcToken.audience,
    });
    assert.equal(payload['email'], oidcToken.serviceAccountEmail);
    assert.equal(payload['email_verified'], true);
  });
});

describe('Cloud Tasks emulator: retries', () => {
  test('retries a failed task after its backoff and abandons it after its last attempt', async (t) => {
    const { promise: abandoned, resolve } = Promise.withResolvers<number>();
    const retryConfig = {
      maxAttempts: 3,
      minBackoff: { nanos: 100e6 },
      maxBackoff: { seconds: 1 },
      maxDoublings: 5,
    };
    const onAbandoned = (_name: string, attempts: number): void => resolve(attempts);
    const { client, target } = await startWithQueue(t, { retryConfig }, { onAbandoned });
    const codes = [503, 404, 500];
    target.respondWith(() => codes[target.dispatches.length - 1] ?? 200);
    const name = `${queueName}/tasks/failing`;
    await client.createTask({ parent: queueName, task: { name, httpRequest: { url: target.url } } });
    assert.equal(await abandoned, 3);
    const [first, second, third] = target.dispatches;
    assert.ok(second!.at - first!.at >= 95 && third!.at - second!.at >= 195);
    const counts = target.dispatches.map(({ headers }) => [
      headers['x-cloudtasks-taskretrycount'],
      headers['x-cloudtasks-taskexecutioncount'], // does not count 5xx
    ]);
    assert.deepEqual(counts, [
      ['0', '0'],
      ['1', '0'],
      ['2', '1'],
    ]);
    await waitUntilRemoved(client, name);
  });

  /** The example of the API reference for `RetryConfig.max_doublings`. */
  test('doubles the retry delay, then adds to it, then caps it', () => {
    const settings = {
      maxDispatchesPerSecond: 1,
      maxConcurrentDispatches: 1,
      maxAttempts: 9,
      maxRetryMs: 0,
      minBackoffMs: 10,
      maxBackoffMs: 300,
      maxDoublings: 3,
    };
    const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((attempts) => getRetryDelay(settings, attempts, 0));
    assert.deepEqual(delays, [10, 20, 40, 80, 160, 240, 300, 300, undefined]);
    assert.equal(getRetryDelay({ ...settings, maxRetryMs: 1000 }, 9, 999), 300);
    assert.equal(getRetryDelay({ ...settings, maxAttempts: -1, maxRetryMs: 1000 }, 1, 1000), undefined);
  });
});

describe('Cloud Tasks emulator: queues', () => {
  test('limits the rate and the concurrency of dispatches', async (t) => {
    const rateLimits = { maxDispatchesPerSecond: 20, maxConcurrentDispatches: 2 };
    const { target, createTask } = await startWithQueue(t, { rateLimits });
    let open = 0;
    let maxOpen = 0;
    const two = Promise.withResolvers<void>();
    target.respondWith(async () => {
      maxOpen = Math.max(maxOpen, ++open);
      if (open === 2) two.resolve();
      await two.promise;
      await sleep(30); // a third dispatch would arrive in this time
      open -= 1;
      return 200;
    });
    const startedAt = Date.now();
    await Promise.all(Array.from({ length: 14 }, () => createTask('x')));
    await target.received(14);
    assert.equal(maxOpen, 2);
    // The bucket holds 4 tokens and gets 20 per second.
    assert.ok(Date.now() - startedAt >= 450, `${Date.now() - startedAt} ms`);
  });

  test('refuses a rate above its maximum', async (t) => {
    const { client } = await start(t);
    const queue = { name: queueName, rateLimits: { maxDispatchesPerSecond: 501 } };
    const creation = client.createQueue({ parent: location, queue });
    await assert.rejects(creation, { code: status.INVALID_ARGUMENT });
  });

  test('holds the tasks of a paused queue until it is resumed', async (t) => {
    const { client, target, createTask } = await startWithQueue(t);
    const [paused] = await client.pauseQueue({ name: queueName });
    assert.equal(paused.state, 'PAUSED');
    await createTask('a');
    const name = await createTask('b');
    await client.runTask({ name });
    await target.received(1);
    assert.equal(target.dispatches[0]!.body.toString(), 'b');
    await client.resumeQueue({ name: queueName });
    await target.received(2);
    assert.equal(target.dispatches[1]!.body.toString(), 'a');
  });

  test('runs a task on request, even in a paused queue', async (t) => {
    const { client, target, createTask } = await startWithQueue(t);
    await client.pauseQueue({ name: queueName });
    const name = await createTask('x');
    const [run] = await client.runTask({ name });
    assert.equal(run.dispatchCount, 1);
    await target.received(1);
    assert.equal(target.dispatches[0]!.body.toString(), 'x');
    await waitUntilRemoved(client, name);
    await assert.rejects(client.runTask({ name }), { code: status.NOT_FOUND });
  });

  test('lists tasks without their bodies and returns the body in the full view', async (t) => {
    const { client, createTask } = await startWithQueue(t);
    await client.pauseQueue({ name: queueName });
    const names = [await createTask('a'), await createTask('b'), await createTask('c')];
    const [basic] = await client.listTasks({ parent: queueName });
    assert.deepEqual(new Set(basic.map(({ name }) => name)), new Set(names));
    assert.equal(basic[0]!.httpRequest!.body!.length, 0);
    const [full] = await client.getTask({ name: names[1]!, responseView: 'FULL' });
    assert.equal(Buffer.from(full.httpRequest!.body as Buffer).toString(), 'b');
  });

  test('updates only the settings in the update mask', async (t) => {
    const { client } = await startWithQueue(t);
    await client.pauseQueue({ name: queueName });
    const [updated] = await client.updateQueue({
      queue: { name: queueName, retryConfig: { maxAttempts: 7, maxDoublings: 2 } },
      updateMask: { paths: ['retry_config.max_attempts'] },
    });
    assert.equal(updated.retryConfig!.maxAttempts, 7);
    assert.equal(updated.retryConfig!.maxDoublings, 16);
    assert.equal(updated.state, 'PAUSED');
  });

  test('removes all tasks of a queue on purge', async (t) => {
    const { client, createTask } = await startWithQueue(t);
    await client.pauseQueue({ name: queueName });
    const name = await createTask('x');
    const [queue] = await client.purgeQueue({ name: queueName });
    assert.ok(queue.purgeTime);
    await assert.rejects(client.getTask({ name }), { code: status.NOT_FOUND });
  });

  test('refuses to create a queue twice', async (t) => {
    const { client } = await startWithQueue(t);
    const creation = client.createQueue({ parent: location, queue: { name: queueName } });
    await assert.rejects(creation, { code: status.ALREADY_EXISTS });
  });

  test('lists queues and no longer finds a deleted one', async (t) => {
    const { client } = await startWithQueue(t);
    const [queues] = await client.listQueues({ parent: location });
    assert.deepEqual(
      queues.map(({ name }) => name),
      [queueName],
    );
    await client.deleteQueue({ name: queueName });
    await assert.rejects(client.getQueue({ name: queueName }), { code: status.NOT_FOUND });
  });
});
