/** Dispatchers in this process, called by the Cloud Tasks emulator. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { CloudTasksClient } from '@google-cloud/tasks';
import { credentials } from '@grpc/grpc-js';
import { PassThroughClient } from 'google-auth-library';
import { sql } from 'kysely';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createGuardedAgent } from '#shared/net/guarded-agent.ts';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { Resolve } from '#shared/net/resolve.ts';
import { EnvReader } from '#shared/runtime/config/env-reader.ts';
import { readOwnerLimits } from '#shared/runtime/config/owner-limits.ts';
import type { DestinationsConfig } from '#shared/runtime/config/webhook-guard.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createHourlyBytes, type HourlyBytes } from '#services/dispatcher/bytes/hourly-bytes.ts';
import { createDispatcherServer } from '#services/dispatcher/server.ts';
import { createDeliveries, type Deliveries } from '#services/dispatcher/deliver.ts';
import type { SigningConfig } from '#services/dispatcher/signature.ts';
import { startCloudTasksEmulator } from '#services/local/cloud-tasks-emulator/server.ts';
import { ownHost } from './hostile-urls.ts';
import { encryptor as testEncryptor } from './webhooks.ts';

const log = createLogger('test', process.env['LOG_LEVEL'] ?? 'silent');

export interface DispatcherOptions {
  schedule?: number[];
  timeoutMs?: number;
  maxBodyBytes?: number;
  allowHosts?: string[];
  /** Default: all hosts. */
  destinations?: DestinationsConfig;
  /** Default: the one of `startTask`. */
  encryptor?: Encryptor;
  resolve?: Resolve;
  graceSeconds?: number;
  signing?: SigningConfig;
  concurrency?: number;
  receiverConcurrency?: number;
  bytesPerHour?: number;
  stopping?: AbortSignal;
  /** Cloud Tasks queues. Default: `q`. */
  queues?: string[];
}

/** Starts `count` dispatchers that share a Cloud Tasks queue. Its requests are sent to them in turn. */
export async function startDispatchers(
  t: TestContext,
  db: Db,
  count: number,
  options: DispatcherOptions = {},
) {
  const emulator = await startCloudTasksEmulator({ port: 0 });
  const servers: ReturnType<typeof createDispatcherServer>[] = [];
  let turn = 0;
  let calls = 0;
  let inFlight = 0;
  const balancer = createServer((request, response) => {
    void (async () => {
      calls += 1;
      inFlight += 1;
      const payload = await buffer(request);
      const { statusCode } = await servers[turn++ % count]!.inject({
        method: 'POST',
        url: request.url ?? '',
        headers: { 'content-type': 'application/json' },
        payload,
      }).catch(() => ({ statusCode: 503 })); // the server is closing
      inFlight -= 1;
      response.writeHead(statusCode).end();
    })();
  }).listen(0, '127.0.0.1');
  await once(balancer, 'listening');
  const config = {
    project: 'p',
    location: 'us-central1',
    queues: options.queues ?? ['q'],
    dispatcherUrl: `http://127.0.0.1:${(balancer.address() as AddressInfo).port}`,
    serviceAccount: undefined,
    emulatorHost: `127.0.0.1:${emulator.port}`,
  };
  for (const queue of config.queues) await createQueue(emulator.port, queue);
  const scheduler = createDeliveryScheduler(config);
  const turnWakeups: { taskId: string; turn: number }[] = [];
  const outbox = createOutboxPublisher({
    db,
    ...scheduler,
    publishTurns: async (wakeups) =>
      void turnWakeups.push(...wakeups.map(({ taskId, turn }) => ({ taskId, turn }))),
    log,
  });
  const { allowHosts = ['127.0.0.1'], graceSeconds = 10, timeoutMs = 15_000, resolve } = options;
  const { destinations, encryptor = testEncryptor } = options;
  const agentOptions = { allowHosts, timeoutMs, ...(resolve && { resolve }) };
  const agents = {
    pooled: createGuardedAgent(agentOptions),
    fresh: createGuardedAgent({ ...agentOptions, keepAlive: false }),
  };
  const webhook = {
    timeoutMs,
    leaseMarginSeconds: 15,
    scheduleSeconds: options.schedule ?? [0, 0.02, 0.02, 0.02],
    maxBodyBytes: options.maxBodyBytes ?? 1024 * 1024,
    concurrency: options.concurrency ?? 200,
    receiverConcurrency: options.receiverConcurrency ?? 20,
    maxReceiverConcurrency: options.receiverConcurrency ?? 20,
  };
  const unlimited = readOwnerLimits(new EnvReader({}));
  const hourlyBytes: HourlyBytes[] = [];
  const started: Deliveries[] = [];
  for (let index = 0; index < count; index++) {
    const getLimits = () => Promise.resolve({ ...unlimited, webhookBytesPerHour: options.bytesPerHour ?? 0 });
    const bytes = createHourlyBytes({ db, getLimits, log });
    hourlyBytes.push(bytes);
    const deliveries = createDeliveries({
      db,
      outbox,
      encryptor,
      agents,
      hourlyBytes: bytes,
      webhookGuard: { allowHosts, ownHosts: [ownHost], destinations },
      webhook,
      signing: options.signing ?? { keys: [], issuer: '' },
      wakeupGraceSeconds: graceSeconds,
      stopping: options.stopping ?? new AbortController().signal,
      log,
    });
    started.push(deliveries);
    const callers = { auth: { mode: 'none' as const }, tasksAccount: '', schedulerAccount: '' };
    servers.push(
      createDispatcherServer({
        db,
        ready: async () => void (await sql`select`.execute(db)),
        outbox,
        deliver: (request) => deliveries.deliver(request),
        config: {
          wakeupGraceSeconds: graceSeconds,
          reconcileMs: 1000,
          interruptedExpirySeconds: 3600,
          retentionSeconds: 0,
        },
        getLimits,
        encryptor,
        callers,
        log,
      }),
    );
  }
  t.after(async () => {
    await emulator.close();
    // Ends attempts that wait for a receiver.
    await Promise.all([agents.pooled.destroy(), agents.fresh.destroy()]);
    await Promise.all(servers.map((server) => server.close()));
    await Promise.all(started.map((deliveries) => deliveries.close()));
    await Promise.all([outbox.idle(), ...hourlyBytes.map((bytes) => bytes.close())]);
    await scheduler.close();
    balancer.closeAllConnections();
    balancer.close();
  });
  return {
    app: servers[0]!,
    outbox,
    turnWakeups,
    config,
    /** Requests of Cloud Tasks: in total, and in flight. */
    calls: () => calls,
    /** Takes what is due from the outbox, as after a hint. */
    take: () => started[0]!.take(),
    inFlight: () => inFlight,
  };
}

/** Calls a dispatcher as Cloud Tasks does, for the config `hook` of a task. */
export function callDeliver(app: ReturnType<typeof createDispatcherServer>, taskId: string) {
  return app.inject({
    method: 'POST',
    url: '/deliver',
    payload: { configs: [{ taskId, configId: 'hook' }] },
  });
}

export async function createQueue(port: number, name = 'q'): Promise<void> {
  const client = new CloudTasksClient({
    apiEndpoint: '127.0.0.1',
    port,
    sslCreds: credentials.createInsecure(),
    authClient: new PassThroughClient(),
  });
  const parent = 'projects/p/locations/us-central1';
  await client.createQueue({ parent, queue: { name: `${parent}/queues/${name}` } });
  await client.close();
}
