/** The Cloud Tasks emulator in this process, with the client of Google, and a target that records its requests. */
import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { CloudTasksClient } from '@google-cloud/tasks';
import { credentials, status } from '@grpc/grpc-js';
import {
  startCloudTasksEmulator,
  type CloudTasksEmulatorOptions,
} from '#services/local/cloud-tasks-emulator/server.ts';
import type { Cleanup } from '../cleanup.ts';
import { listen } from '../network/listen.ts';
import { waitFor } from '../wait-for.ts';

// The emulator needs no credentials. This keeps the client from looking for a metadata server.
process.env['METADATA_SERVER_DETECTION'] = 'none';

export const location = 'projects/p/locations/us-central1';
export const queueName = `${location}/queues/q`;

interface Dispatch {
  at: number;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** Starts a target that records its requests and responds with 200, or as set by `respondWith`. */
async function startTarget(t: Cleanup) {
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
export async function startEmulator(t: Cleanup, options: Partial<CloudTasksEmulatorOptions> = {}) {
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
export async function startWithQueue(
  t: Cleanup,
  queue: object = {},
  options?: Partial<CloudTasksEmulatorOptions>,
) {
  const { emulator, client, target } = await startEmulator(t, options);
  await client.createQueue({ parent: location, queue: { name: queueName, ...queue } });
  const createTask = async (body: string): Promise<string> => {
    const httpRequest = { url: target.url, body: Buffer.from(body) };
    const [task] = await client.createTask({ parent: queueName, task: { httpRequest } });
    return task.name!;
  };
  return { emulator, client, target, createTask };
}

export function waitUntilRemoved(client: CloudTasksClient, name: string): Promise<unknown> {
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
