import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import {
  location,
  queueName,
  startEmulator,
  startWithQueue,
  waitUntilRemoved,
} from '../../support/fakes/cloud-tasks.ts';

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
    const { client } = await startEmulator(t);
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
