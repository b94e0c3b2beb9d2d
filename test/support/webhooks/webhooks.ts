/** Tasks that make events, and configs of webhooks that are to tell of them. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { createAccept, type WebhookRow } from '#shared/db/tasks/accept.ts';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import { createEncryptor, parseEncryptionKeys } from '#shared/crypto/encryption.ts';
import { createTurnWriter, type NewEvent, type TurnEnd } from '#shared/db/turns/write.ts';
import type { Artifact, Message } from '#shared/domain/message.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { TurnEndState } from '#shared/domain/task.ts';
import { encryptSecrets } from '#shared/webhooks/secrets.ts';
import { beforeStop, testDatabase } from '../database/postgres.ts';

/** Waits for a state, at most 20 s. */
export async function until(state: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await state())) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${state.toString()}`);
    await delay(5);
  }
}

export const caller = { tenant: '', owner: 'alice' };
const keys = parseEncryptionKeys(`test:${randomBytes(32).toString('base64')}`).keys;
export const encryptor = createEncryptor(keys);

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
export async function startTask(db: Db, outbox: OutboxPublisher | undefined, webhook?: WebhookRow) {
  const taskId = uuidv7();
  const contextId = uuidv7();
  const status = (state: string, message?: Message) => ({
    state,
    timestamp: new Date().toISOString(),
    message,
  });
  const state = (name: string, message?: Message) =>
    JSON.stringify({ statusUpdate: { taskId, contextId, status: status(name, message) } });
  const wakeups = await createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 })({
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
    webhook: webhook === undefined ? null : encryptSecrets(encryptor, taskId, webhook),
  });
  outbox?.publish(wakeups ?? []);
  const claimTurn = createClaim(db, { worker: 'w', leaseSeconds: 30, wakeupGraceSeconds: 10 });
  const writeTurn = createTurnWriter(db, { wakeupGraceSeconds: 10 });
  let lease: Lease | undefined;
  return {
    taskId,
    contextId,
    /** The turn is begun: the task is working. */
    claim: async () => {
      const claimed = await claimTurn(taskId);
      if (claimed.kind !== 'claimed') throw new Error(`the turn was not claimed: ${claimed.kind}`);
      lease = claimed.lease;
      outbox?.publish(claimed.wakeups);
    },
    progress: async (count: number) => {
      const events = Array.from({ length: count }, (): NewEvent => ({
        kind: 'progress',
        payload: state('TASK_STATE_WORKING'),
      }));
      const written = await writeTurn({ lease: lease!, events });
      outbox?.publish(written.wakeups);
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
      outbox?.publish(written.wakeups);
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
      outbox?.publish(written.wakeups);
    },
  };
}
