import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CloudTasksClient } from '@google-cloud/tasks';
import { credentials, status } from '@grpc/grpc-js';
import { createLocalJWKSet, jwtVerify } from 'jose';
import {
  startCloudTasksEmulator,
  type CloudTasksEmulatorOptions,
} from '#services/local/cloud-tasks-emulator/server.ts';
import { getRetryDelay } from '#services/local/cloud-tasks-emulator/queue-settings.ts';

// A stand-in asks for no credentials: keep the client from looking for any.
process.env['METADATA_SERVER_DETECTION'] = 'none';

const timeout = 60_000;
const location = 'projects/p/locations/us-central1';
const queueName = `${location}/queues/q`;

interface Received {
  at: number;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A target that records what it gets and answers what it is told (200 by default). */
async function startTarget(t: TestContext) {
  const received: Received[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  let answer: (request: Received) => number | Promise<number> = () => 200;
  const server = createServer((request, response) => {
    void (async () => {
      const { method = '', url = '', headers } = request;
      const got = { at: Date.now(), method, path: url, headers, body: await buffer(request) };
      received.push(got);
      for (const { count, resolve } of waiting) if (received.length >= count) resolve();
      response.writeHead(await answer(got)).end();
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    answers: (next: typeof answer) => (answer = next),
    /** Resolves when so many requests have arrived in all. */
    got: (count: number) =>
      new Promise<void>((resolve) => {
        if (received.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
  };
}

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

test('a task reaches its target at once, as it was made, and is gone after 2xx', { timeout }, async (t) => {
  const { client, target } = await start(t);
  await client.createQueue({ parent: location, queue: { name: queueName } });
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
  await target.got(1);
  const [request] = target.received;
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
  await untilGone(client, name);
  const took: number[] = [];
  for (let round = 2; round < 7; round++) {
    const before = performance.now();
    await client.createTask({ parent: queueName, task: { httpRequest: { url: target.url } } });
    await target.got(round);
    took.push(performance.now() - before);
  }
  // The quickest tells what it takes; the others also what else the machine does.
  assert.ok(Math.min(...took) < 250, `each took ${Math.min(...took)} ms or more`);
});

async function untilGone(client: CloudTasksClient, name: string): Promise<void> {
  for (;;) {
    try {
      await client.getTask({ name });
    } catch (error) {
      assert.equal((error as { code: number }).code, status.NOT_FOUND);
      return;
    }
  }
}

test('a name stays used while its task lives and for a while after', { timeout }, async (t) => {
  const dedupMs = 2_000;
  const { client, target } = await start(t, { dedupMs });
  await client.createQueue({ parent: location, queue: { name: queueName } });
  const task = { name: `${queueName}/tasks/same`, httpRequest: { url: target.url } };
  const later = { seconds: Math.floor(Date.now() / 1000) + 3600 };
  await client.createTask({ parent: queueName, task: { ...task, scheduleTime: later } });
  const again = (): Promise<unknown> => client.createTask({ parent: queueName, task });
  await assert.rejects(again(), { code: status.ALREADY_EXISTS });
  await client.deleteTask({ name: task.name });
  const deletedAt = Date.now();
  await assert.rejects(again(), { code: status.ALREADY_EXISTS });
  for (;;) {
    try {
      await again();
      break;
    } catch (error) {
      assert.equal((error as { code: number }).code, status.ALREADY_EXISTS);
      await sleep(20);
    }
  }
  assert.ok(Date.now() - deletedAt >= dedupMs - 10);
  await target.got(1);
  await untilGone(client, task.name);
  await assert.rejects(again(), { code: status.ALREADY_EXISTS });
});

test('a schedule time is kept, and what Cloud Tasks refuses is refused', { timeout }, async (t) => {
  const { client, target } = await start(t);
  const httpRequest = { url: target.url };
  const create = (task: object, parent = queueName): Promise<unknown> => client.createTask({ parent, task });
  await assert.rejects(create({ httpRequest }), { code: status.NOT_FOUND });
  await client.createQueue({ parent: location, queue: { name: queueName } });

  const late: number[] = [];
  for (let round = 1; round <= 3; round++) {
    const due = Date.now() + 300;
    const scheduleTime = { seconds: Math.floor(due / 1000), nanos: (due % 1000) * 1e6 };
    await create({ httpRequest, scheduleTime });
    await target.got(round);
    late.push(target.received.at(-1)!.at - due);
  }
  assert.ok(Math.min(...late) >= 0 && Math.min(...late) < 250, `late by ${late.join(', ')} ms`);
  const inDays = (days: number): object => ({ seconds: Math.floor(Date.now() / 1000) + days * 86_400 });
  await create({ httpRequest, scheduleTime: inDays(29.99) });
  const refused = [
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
  for (const task of refused) await assert.rejects(create(task), { code: status.INVALID_ARGUMENT });
});

test(
  'what fails is tried again after its backoff, and given up after its attempts',
  { timeout },
  async (t) => {
    const { promise: givenUp, resolve } = Promise.withResolvers<number>();
    const { client, target } = await start(t, { onAbandoned: (_name, attempts) => resolve(attempts) });
    await client.createQueue({
      parent: location,
      queue: {
        name: queueName,
        retryConfig: {
          maxAttempts: 3,
          minBackoff: { nanos: 100e6 },
          maxBackoff: { seconds: 1 },
          maxDoublings: 5,
        },
      },
    });
    const codes = [503, 404, 500];
    target.answers(() => codes[target.received.length - 1] ?? 200);
    const name = `${queueName}/tasks/failing`;
    await client.createTask({ parent: queueName, task: { name, httpRequest: { url: target.url } } });
    assert.equal(await givenUp, 3);
    const [first, second, third] = target.received;
    assert.ok(second!.at - first!.at >= 95 && third!.at - second!.at >= 195);
    const counts = target.received.map(({ headers }) => [
      headers['x-cloudtasks-taskretrycount'],
      headers['x-cloudtasks-taskexecutioncount'], // 5xx do not count
    ]);
    assert.deepEqual(counts, [
      ['0', '0'],
      ['1', '0'],
      ['2', '1'],
    ]);
    await untilGone(client, name);
  },
);

test('retries double, then grow evenly, then stay (the example of the API reference)', () => {
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

test('a queue keeps to its rate and to its concurrency', { timeout }, async (t) => {
  const { client, target } = await start(t);
  await client.createQueue({
    parent: location,
    queue: { name: queueName, rateLimits: { maxDispatchesPerSecond: 20, maxConcurrentDispatches: 2 } },
  });
  let open = 0;
  let most = 0;
  const two = Promise.withResolvers<void>();
  target.answers(async () => {
    most = Math.max(most, ++open);
    if (open === 2) two.resolve();
    await two.promise;
    await sleep(30); // for a third, of which there must be none
    open -= 1;
    return 200;
  });
  const begun = Date.now();
  const task = { httpRequest: { url: target.url } };
  await Promise.all(Array.from({ length: 14 }, () => client.createTask({ parent: queueName, task })));
  await target.got(14);
  assert.equal(most, 2);
  // A bucket of 4, then 20 a second.
  assert.ok(Date.now() - begun >= 450, `${Date.now() - begun} ms`);
  await assert.rejects(
    client.createQueue({
      parent: location,
      queue: { name: `${queueName}2`, rateLimits: { maxDispatchesPerSecond: 501 } },
    }),
    { code: status.INVALID_ARGUMENT },
  );
});

test(
  'queues are paused, resumed, run by hand, listed, updated, purged and deleted',
  { timeout },
  async (t) => {
    const { client, target } = await start(t);
    await client.createQueue({ parent: location, queue: { name: queueName } });
    await assert.rejects(client.createQueue({ parent: location, queue: { name: queueName } }), {
      code: status.ALREADY_EXISTS,
    });
    const [paused] = await client.pauseQueue({ name: queueName });
    assert.equal(paused.state, 'PAUSED');
    const make = async (body: string): Promise<string> => {
      const [task] = await client.createTask({
        parent: queueName,
        task: { httpRequest: { url: target.url, body: Buffer.from(body) } },
      });
      return task.name!;
    };
    const names = [await make('a'), await make('b'), await make('c')];
    const [basic] = await client.listTasks({ parent: queueName });
    assert.deepEqual(new Set(basic.map(({ name }) => name)), new Set(names));
    assert.equal(basic[0]!.httpRequest!.body!.length, 0);
    const [full] = await client.getTask({ name: names[1]!, responseView: 'FULL' });
    assert.equal(Buffer.from(full.httpRequest!.body as Buffer).toString(), 'b');

    const [run] = await client.runTask({ name: names[2]! });
    assert.equal(run.dispatchCount, 1);
    await target.got(1);
    assert.equal(target.received[0]!.body.toString(), 'c');
    await untilGone(client, names[2]!);
    await assert.rejects(client.runTask({ name: names[2]! }), { code: status.NOT_FOUND });

    const [updated] = await client.updateQueue({
      queue: { name: queueName, retryConfig: { maxAttempts: 7, maxDoublings: 2 } },
      updateMask: { paths: ['retry_config.max_attempts'] },
    });
    assert.equal(updated.retryConfig!.maxAttempts, 7);
    assert.equal(updated.retryConfig!.maxDoublings, 16);
    assert.equal(updated.state, 'PAUSED');

    await client.resumeQueue({ name: queueName });
    await target.got(3);
    await client.pauseQueue({ name: queueName });
    const purged = await make('d');
    const [queue] = await client.purgeQueue({ name: queueName });
    assert.ok(queue.purgeTime);
    await assert.rejects(client.getTask({ name: purged }), { code: status.NOT_FOUND });

    const [queues] = await client.listQueues({ parent: location });
    assert.deepEqual(
      queues.map(({ name }) => name),
      [queueName],
    );
    await client.deleteQueue({ name: queueName });
    await assert.rejects(client.getQueue({ name: queueName }), { code: status.NOT_FOUND });
  },
);

test('an OIDC token is signed for its audience', { timeout }, async (t) => {
  const { client, emulator, target } = await start(t);
  await client.createQueue({ parent: location, queue: { name: queueName } });
  const oidcToken = {
    serviceAccountEmail: 'caller@p.iam.gserviceaccount.com',
    audience: 'https://dispatcher',
  };
  const headers = { authorization: 'Bearer mine' };
  await client.createTask({
    parent: queueName,
    task: { httpRequest: { url: target.url, headers, oidcToken } },
  });
  await target.got(1);
  const [, token = ''] = /^Bearer (.+)$/.exec(target.received[0]!.headers.authorization ?? '') ?? [];
  const keys = createLocalJWKSet(await emulator.jwks());
  const { payload } = await jwtVerify(token, keys, {
    issuer: 'https://accounts.google.com',
    audience: oidcToken.audience,
  });
  assert.equal(payload['email'], oidcToken.serviceAccountEmail);
  assert.equal(payload['email_verified'], true);
});

test(
  'a thousand tasks of all times are dispatched once each, in the order of their times',
  { timeout },
  async (t) => {
    const { client, target } = await start(t, { maxDispatchesPerSecond: 1e6 });
    await client.createQueue({
      parent: location,
      queue: { name: queueName, rateLimits: { maxDispatchesPerSecond: 1e6, maxConcurrentDispatches: 1 } },
    });
    await client.pauseQueue({ name: queueName });
    const base = Math.floor(Date.now() / 1000) - 10;
    // Times in the past all become now; in the future they order the tasks.
    const soon = Date.now() + 1500;
    await Promise.all(
      Array.from({ length: 1000 }, (_, i) => {
        const millis = soon + ((i * 7919) % 1000) / 10;
        const scheduleTime =
          i < 500 ? { seconds: base } : { seconds: Math.floor(millis / 1000), nanos: (millis % 1000) * 1e6 };
        return client.createTask({
          parent: queueName,
          task: { httpRequest: { url: `${target.url}/${i}` }, scheduleTime },
        });
      }),
    );
    await client.resumeQueue({ name: queueName });
    await target.got(1000);
    assert.equal(new Set(target.received.map(({ path }) => path)).size, 1000);
    const etas = target.received.map(({ headers }) => Number(headers['x-cloudtasks-tasketa']));
    assert.deepEqual(
      etas,
      etas.toSorted((a, b) => a - b),
    );
  },
);
