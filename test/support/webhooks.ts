/** Webhooks end to end: receivers, dispatchers behind the Cloud Tasks stand-in, and tasks that make events. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createRinger, type Ringer } from '#shared/bells/ringer.ts';
import { acceptTasks, type WebhookRow } from '#shared/db/accept.ts';
import { openDatabase, type Db } from '#shared/db/database.ts';
import { claimTurns, type Lease } from '#shared/db/leases.ts';
import { createSealer, parseEncryptionKeys } from '#shared/db/seal.ts';
import { writeTurns, type NewEvent, type TurnEnd } from '#shared/db/turns.ts';
import type { Artifact, Message } from '#shared/domain/message.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { TurnEndState } from '#shared/domain/task.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { sealSecrets } from '#shared/webhooks/secrets.ts';
import { CloudTasksClient } from '@google-cloud/tasks';
import { credentials } from '@grpc/grpc-js';
import { PassThroughClient } from 'google-auth-library';
import { createApp } from '../../services/dispatcher/app.ts';
import { createDeliver } from '../../services/dispatcher/deliver.ts';
import { createGuardedAgent, type Resolve } from '#shared/net/guarded-agent.ts';
import type { SigningConfig } from '../../services/dispatcher/origin.ts';
import { startCloudTasksEmulator } from '../../services/local/cloud-tasks-emulator/server.ts';
import { beforeStop, testDatabase } from './postgres.ts';

export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  at: number;
}

type Answer = (request: Received, response: ServerResponse) => number | void | Promise<number | void>;

/** A receiver that records what it gets and answers what it is told: a status, or by itself. */
export async function startReceiver(t: TestContext) {
  const received: Received[] = [];
  let answer: Answer = () => 204;
  const server = createServer((request, response) => {
    void (async () => {
      const { method = '', url = '', headers } = request;
      const got = { method, path: url, headers, body: (await buffer(request)).toString(), at: Date.now() };
      received.push(got);
      const status = await answer(got, response);
      if (status !== undefined) response.writeHead(status).end('said so');
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    answers: (next: Answer) => (answer = next),
    events: () => received.map(({ headers }) => Number(headers['longhaul-event'])),
    /** Resolves when so many requests have arrived in all. */
    got: (count: number) => until(() => received.length >= count),
  };
}

/** Waits for a state, at most 8 s. */
export async function until(state: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 8_000;
  while (!(await state())) {
    if (performance.now() > deadline) throw new Error(`not within 8 s: ${state.toString()}`);
    await delay(5);
  }
}

export const caller = { tenant: '', owner: 'alice' };
const keys = parseEncryptionKeys(`test:${randomBytes(32).toString('base64')}`).keys;
export const sealer = createSealer(keys);
const log = createLogger('test', process.env['LOG_LEVEL'] ?? 'silent');

/** A fresh database for the tests of a file. */
export async function openTestDatabase(): Promise<Db> {
  const database = await testDatabase();
  const db = connect(database.url);
  beforeStop(() => db.destroy().then(() => database.close()));
  return db;
}

export function connect(url: string): Db {
  return openDatabase({ url, poolSize: 10, applicationName: 'test', onError: () => undefined }).db;
}

export interface DispatcherOptions {
  schedule?: number[];
  timeoutMs?: number;
  maxBodyBytes?: number;
  allowHosts?: string[];
  resolve?: Resolve;
  graceSeconds?: number;
  signing?: SigningConfig;
  hostConcurrency?: number;
  stopping?: AbortSignal;
}

/** Dispatchers on one Cloud Tasks queue, whose requests go to them in turn. */
export async function startDispatchers(
  t: TestContext,
  db: Db,
  count: number,
  options: DispatcherOptions = {},
) {
  const emulator = await startCloudTasksEmulator({ port: 0 });
  const apps: ReturnType<typeof createApp>[] = [];
  let turn = 0;
  let calls = 0;
  let underWay = 0;
  const door = createServer((request, response) => {
    void (async () => {
      calls += 1;
      underWay += 1;
      const payload = await buffer(request);
      const { statusCode } = await apps[turn++ % count]!.inject({
        method: 'POST',
        url: request.url ?? '',
        headers: { 'content-type': 'application/json' },
        payload,
      }).catch(() => ({ statusCode: 503 })); // it is closing
      underWay -= 1;
      response.writeHead(statusCode).end();
    })();
  }).listen(0, '127.0.0.1');
  await once(door, 'listening');
  const config = {
    project: 'p',
    location: 'us-central1',
    queue: 'q',
    dispatcherUrl: `http://127.0.0.1:${(door.address() as AddressInfo).port}`,
    serviceAccount: undefined,
    emulatorHost: `127.0.0.1:${emulator.port}`,
  };
  await createQueue(emulator.port);
  const scheduler = createDeliveryScheduler(config);
  const turnBells: { taskId: string; turn: number }[] = [];
  const ringer = createRinger({
    db,
    ...scheduler,
    publishTurn: async ({ taskId, turn }) => void turnBells.push({ taskId, turn }),
    log,
  });
  const { allowHosts = ['127.0.0.1'], graceSeconds = 10, timeoutMs = 2_000, resolve } = options;
  const agent = createGuardedAgent({ allowHosts, timeoutMs, ...(resolve && { resolve }) });
  const webhook = {
    timeoutMs,
    leaseMarginSeconds: 15,
    scheduleSeconds: options.schedule ?? [0, 0.02, 0.02, 0.02],
    maxBodyBytes: options.maxBodyBytes ?? 1024 * 1024,
    hostConcurrency: options.hostConcurrency ?? 20,
  };
  for (let index = 0; index < count; index++) {
    const deliver = createDeliver({
      db,
      ringer,
      sealer,
      agent,
      allowHosts,
      webhook,
      signing: options.signing ?? { keys: [], issuer: '' },
      bellGraceSeconds: graceSeconds,
      stopping: options.stopping ?? new AbortController().signal,
      log,
    });
    const callers = { auth: { mode: 'none' as const }, tasksAccount: '', schedulerAccount: '' };
    apps.push(
      createApp({
        db,
        ringer,
        deliver,
        config: {
          bellGraceSeconds: graceSeconds,
          reconcileMs: 1000,
          interruptedExpirySeconds: 3600,
          retentionSeconds: 0,
        },
        callers,
        log,
      }),
    );
  }
  t.after(async () => {
    await emulator.close();
    await agent.destroy(); // attempts that would still wait for a receiver end now
    await Promise.all(apps.map((app) => app.close()));
    await ringer.idle();
    await scheduler.close();
    door.closeAllConnections();
    door.close();
  });
  return {
    app: apps[0]!,
    ringer,
    turnBells,
    config,
    /** Requests of Cloud Tasks: in all, and at this moment. */
    calls: () => calls,
    underWay: () => underWay,
  };
}

async function createQueue(port: number): Promise<void> {
  const client = new CloudTasksClient({
    apiEndpoint: '127.0.0.1',
    port,
    sslCreds: credentials.createInsecure(),
    authClient: new PassThroughClient(),
  });
  const parent = 'projects/p/locations/us-central1';
  await client.createQueue({ parent, queue: { name: `${parent}/queues/q` } });
  await client.close();
}

export function webhookTo(url: string, config: Partial<WebhookRow> = {}): WebhookRow {
  return {
    id: 'hook',
    url,
    token: null,
    authScheme: null,
    authCredentials: null,
    events: 'state',
    protocolVersion: '1.0',
    signingSecret: null,
    ordered: true,
    ...config,
  };
}

/** A task, as the front door makes it, and what a worker writes about it. */
export async function startTask(db: Db, ringer: Ringer | undefined, webhook?: WebhookRow) {
  const taskId = uuidv7();
  const contextId = uuidv7();
  const status = (state: string, message?: Message) => ({
    state,
    timestamp: new Date().toISOString(),
    message,
  });
  const state = (name: string, message?: Message) =>
    JSON.stringify({ statusUpdate: { taskId, contextId, status: status(name, message) } });
  const bells = await acceptTasks(db, { idempotencyWindowSeconds: 0, bellGraceSeconds: 10 })({
    taskId,
    ...caller,
    contextId,
    agentHash: 'x',
    messageId: uuidv7(),
    requestHash: 'x',
    message: JSON.stringify({ messageId: uuidv7(), role: 'ROLE_USER', parts: [{ text: 'go' }] }),
    metadata: JSON.stringify({ origin: 'test' }),
    acceptedOutputModes: null,
    event: state('TASK_STATE_SUBMITTED'),
    statusAt: new Date().toISOString(),
    shown: true,
    startAt: null,
    deadlineAt: null,
    traceparent: null,
    webhook: webhook === undefined ? null : sealSecrets(sealer, taskId, webhook),
  });
  ringer?.ring(bells ?? []);
  const claimTurn = claimTurns(db, { worker: 'w', leaseSeconds: 30, bellGraceSeconds: 10 });
  const writeTurn = writeTurns(db, { bellGraceSeconds: 10 });
  let lease: Lease | undefined;
  return {
    taskId,
    contextId,
    /** The turn is begun: the task is working. */
    claim: async () => {
      const claimed = await claimTurn(taskId);
      if (claimed.kind !== 'claimed') throw new Error(`the turn was not claimed: ${claimed.kind}`);
      lease = claimed.lease;
      ringer?.ring(claimed.bells);
    },
    progress: async (count: number) => {
      const events = Array.from({ length: count }, (): NewEvent => ({
        kind: 'progress',
        payload: state('TASK_STATE_WORKING'),
      }));
      const written = await writeTurn({ lease: lease!, events });
      ringer?.ring(written.bells);
    },
    artifact: async (artifact: Artifact, options: { append?: boolean; whole?: Artifact } = {}) => {
      const { append = false, whole } = options;
      const payload = JSON.stringify({ artifactUpdate: { taskId, contextId, artifact, append } });
      const { artifactId } = artifact;
      const kept = { artifactId, ...(whole && { whole: JSON.stringify(whole) }) };
      const written = await writeTurn({
        lease: lease!,
        events: [{ kind: 'artifact', payload, artifact: kept }],
      });
      ringer?.ring(written.bells);
    },
    end: async (name: TurnEndState, message?: Message) => {
      const finish: TurnEnd = {
        kind: 'end',
        state: name,
        payload: state(name, message),
        payloadIfContinued: state('TASK_STATE_WORKING'),
        statusAt: new Date().toISOString(),
        message: message === undefined ? null : JSON.stringify(message),
        direct: false,
        error: null,
      };
      const written = await writeTurn({ lease: lease!, finish });
      ringer?.ring(written.bells);
    },
  };
}
