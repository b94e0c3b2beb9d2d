/** The gRPC binding on the wire: metadata, deadlines, back-pressure, and the health service. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamResponse } from '@a2a-js/sdk';
import { A2AService } from '@a2a-js/sdk/server/grpc';
import {
  credentials,
  makeGenericClientConstructor,
  Metadata,
  status,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { getSignal } from '#services/api/handler/call-state.ts';
import { activateAll, createWireTask, startApiServer } from '../../support/services/api-server.ts';
import type { Cleanup } from '../../support/cleanup.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- a generic client has no types
function createClient(t: Cleanup, service: ServiceDefinition, target: string): any {
  const Client = makeGenericClientConstructor(service, '');
  const client = new Client(target, credentials.createInsecure());
  t.after(() => client.close());
  return client;
}

function createMetadata(more: Record<string, string> = {}): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries({ 'a2a-version': '1.0', ...more })) metadata.set(name, value);
  return metadata;
}

const taskRequest = { tenant: '', id: 'x' };

describe('gRPC', () => {
  // [GRPC-META-001]
  test('reports the active extensions in the metadata of the answer', async (t) => {
    const extension = 'https://example.com/extensions/other/v1';
    const { grpcTarget } = await startApiServer(t, { getTask: activateAll });
    const client = createClient(t, A2AService, grpcTarget);
    const metadata = createMetadata({ 'a2a-extensions': extension });
    const call = client.getTask(taskRequest, metadata, () => undefined);
    const [received] = (await once(call, 'metadata')) as [Metadata];
    assert.deepEqual(received.get('a2a-extensions'), [extension]);
  });

  test('ends a call when its deadline passes', async (t) => {
    const ended = Promise.withResolvers<void>();
    const { grpcTarget } = await startApiServer(t, {
      getTask: (_request, context) => {
        getSignal(context).addEventListener('abort', () => ended.resolve());
        return new Promise(() => undefined);
      },
    });
    const client = createClient(t, A2AService, grpcTarget);
    const error = await new Promise<ServiceError>((resolve) =>
      client.getTask(taskRequest, createMetadata(), { deadline: Date.now() + 2_000 }, resolve),
    );
    assert.equal(error.code, status.DEADLINE_EXCEEDED);
    await ended.promise;
  });

  test('stops producing events while the reader is slow', async (t) => {
    let produced = 0;
    const { grpcTarget } = await startApiServer(t, {
      resubscribe: async function* ({ id }): AsyncGenerator<StreamResponse, void, undefined> {
        const task = { ...createWireTask(id), metadata: { filler: 'x'.repeat(32_768) } };
        for (; produced < 2000; produced++) yield { payload: { $case: 'task', value: task } };
      },
    });
    const call = createClient(t, A2AService, grpcTarget).subscribeToTask(taskRequest, createMetadata());
    await once(call, 'readable');
    // Nothing is read: the stream has stopped once no event has been produced for a while.
    for (let before = -1; before !== produced; await sleep(100)) before = produced;
    assert.ok(produced < 1000, `${produced} events were produced without a reader`);
    let read = 0;
    call.on('data', () => read++);
    await once(call, 'end');
    assert.equal(read, 2000);
  });
});

describe('gRPC health', () => {
  /** Resolves to the serving status, or to the code of the error. */
  // oxlint-disable-next-line typescript/no-explicit-any -- a generic client has no types
  function check(client: any, service: string): Promise<unknown> {
    return new Promise((resolve) => {
      client.check({ service }, (error: ServiceError | null, answer?: { status: string }) =>
        resolve(error?.code ?? answer?.status),
      );
    });
  }

  test('checks the server and the A2A service', async (t) => {
    const { grpcTarget } = await startApiServer(t, {});
    const client = createClient(t, healthService, grpcTarget);
    assert.equal(await check(client, ''), 'SERVING');
    assert.equal(await check(client, 'lf.a2a.v1.A2AService'), 'SERVING');
    assert.equal(await check(client, 'nothing'), status.NOT_FOUND);
  });

  test('follows the readiness of the service', async (t) => {
    let reason: Error | undefined = new Error('the database is unavailable');
    const ready = async (): Promise<void> => {
      if (reason !== undefined) throw reason;
    };
    const { grpcTarget } = await startApiServer(t, {}, { ready });
    const client = createClient(t, healthService, grpcTarget);
    assert.equal(await check(client, ''), 'NOT_SERVING');
    reason = undefined;
    assert.equal(await check(client, ''), 'SERVING');
  });

  test('sends changes to a watch and ends it when the server closes', async (t) => {
    const { grpcTarget, closeGrpc } = await startApiServer(t, {});
    const watch = createClient(t, healthService, grpcTarget).watch({ service: '' });
    const statuses: string[] = [];
    for await (const { status: current } of watch as AsyncIterable<{ status: string }>) {
      statuses.push(current);
      if (statuses.length === 1) void closeGrpc();
    }
    assert.deepEqual(statuses, ['SERVING', 'NOT_SERVING']);
  });
});
