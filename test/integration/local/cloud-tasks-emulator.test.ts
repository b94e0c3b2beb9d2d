import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { getRetryDelay } from '#services/local/cloud-tasks-emulator/queue-settings.ts';
import {
  location,
  queueName,
  startEmulator,
  startWithQueue,
  waitUntilRemoved,
} from '../../support/fakes/cloud-tasks.ts';
import { waitFor } from '../../support/wait-for.ts';

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
    const { client, target } = await startEmulator(t);
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
