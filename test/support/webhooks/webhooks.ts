/** Tasks that create events, and webhook configs that receive them. */
import { randomBytes } from 'node:crypto';
import { createEncryptor, parseEncryptionKeys } from '#shared/crypto/encryption.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { createAccept, type WebhookRow } from '#shared/db/tasks/accept.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import { createTurnWriter, type NewEvent } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Artifact, Message } from '#shared/domain/message.ts';
import type { TaskState, TurnEndState } from '#shared/domain/task.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { encryptSecrets } from '#shared/webhooks/secrets.ts';
import { caller, newTask, newTurnEnd, newWebhook, createStatePayload } from '../database/new-task.ts';

export { caller } from '../database/new-task.ts';

export const { keys: encryptionKeys } = parseEncryptionKeys(`test:${randomBytes(32).toString('base64')}`);
export const encryptor = createEncryptor(encryptionKeys);

/** A webhook config with the id `hook`. */
export function webhookTo(url: string, config: Partial<WebhookRow> = {}): WebhookRow {
  return newWebhook({ id: 'hook', url, ...config });
}

/** Creates a task as the api does, and returns functions that write as a worker does. */
export async function startTask(
  db: Db,
  outbox: OutboxPublisher | undefined,
  webhook?: WebhookRow,
  owner: string = caller.owner,
) {
  const taskId = uuidv7();
  const contextId = uuidv7();
  const createState = (state: TaskState, message?: Message) =>
    createStatePayload({ taskId, contextId }, state, message);
  const accept = createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 });
  const wakeups = await accept(
    newTask({
      owner,
      taskId,
      contextId,
      metadata: JSON.stringify({ origin: 'test' }),
      event: createState('TASK_STATE_SUBMITTED'),
      webhook: webhook === undefined ? null : encryptSecrets(encryptor, taskId, webhook),
    }),
  );
  outbox?.publish(wakeups ?? []);
  const claimTurn = createClaim(db, {
    worker: 'w',
    leaseSeconds: 30,
    wakeupGraceSeconds: 10,
    maxAttempts: 5,
  });
  const writeTurn = createTurnWriter(db, { wakeupGraceSeconds: 10 });
  let lease: Lease | undefined;
  return {
    taskId,
    contextId,
    /** Claims the turn, which makes the task working. */
    claim: async () => {
      const claimed = await claimTurn(taskId);
      if (claimed.kind !== 'claimed') throw new Error(`the turn was not claimed: ${claimed.kind}`);
      lease = claimed.lease;
      outbox?.publish(claimed.wakeups);
    },
    progress: async (count: number) => {
      const events = Array.from({ length: count }, (): NewEvent => ({
        kind: 'progress',
        payload: createState('TASK_STATE_WORKING'),
      }));
      const written = await writeTurn({ lease: lease!, events });
      outbox?.publish(written.wakeups);
    },
    artifact: async (artifact: Artifact, options: { append?: boolean; whole?: Artifact } = {}) => {
      const { append = false, whole } = options;
      const payload = JSON.stringify({ artifactUpdate: { taskId, contextId, artifact, append } });
      const stored = {
        artifactId: artifact.artifactId,
        ...(whole && { whole: JSON.stringify(whole) }),
      };
      const written = await writeTurn({
        lease: lease!,
        events: [{ kind: 'artifact', payload, artifact: stored }],
      });
      outbox?.publish(written.wakeups);
    },
    end: async (state: TurnEndState, message?: Message) => {
      const finish = newTurnEnd(taskId, state, {
        payload: createState(state, message),
        payloadIfContinued: createState('TASK_STATE_WORKING'),
        message: message === undefined ? null : JSON.stringify(message),
      });
      const written = await writeTurn({ lease: lease!, finish });
      outbox?.publish(written.wakeups);
    },
  };
}
