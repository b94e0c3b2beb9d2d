/** The calls at Google of all tasks, as the Gemini agent reads and writes them in the database. */
import {
  addBatchCall,
  listOpenCalls,
  readBatchCall,
  readBatchRequests,
} from '#shared/db/models/batch-calls.ts';
import {
  claimBatches,
  createBatches,
  postponeBatch,
  recordBatchName,
  removeBatch,
  splitBatch,
} from '#shared/db/models/batches.ts';
import { removeOverCalls } from '#shared/db/models/over-batch-calls.ts';
import { storeBatchResults } from '#shared/db/models/batch-results.ts';
import { claimDueCalls } from '#shared/db/models/polls.ts';
import { claimStoredCalls, forgetStoredCall, recordUndeleted } from '#shared/db/models/stored-calls.ts';
import {
  closeModelWait,
  readAbandonedModelWaits,
  reportModelCall,
} from '#shared/db/turns/waits/model-waits.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { createGeminiWebhookUrl } from '#shared/domain/wait.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { CallStores } from './agent/load.ts';

/** Batches that a worker advances at the same time: the results of each may be large. */
const maxBatches = 4;

export interface CallStoreParts {
  db: Db;
  outbox: OutboxPublisher;
  wakeupGraceSeconds: number;
  /** Base URL of webhooks; undefined: there are none. */
  publicUrl: string | undefined;
}

export function createCallStores({
  db,
  outbox,
  wakeupGraceSeconds,
  publicUrl,
}: CallStoreParts): Required<CallStores> {
  return {
    abandoned: {
      read: () => readAbandonedModelWaits(db),
      close: (wait, usage) => closeModelWait(db, wait, usage),
    },
    polls: {
      claim: (limit) => claimDueCalls(db, limit),
      report: async (call) => {
        outbox.publish((await reportModelCall(db, { wakeupGraceSeconds }, call)) ?? []);
      },
    },
    stored: {
      claim: () => claimStoredCalls(db),
      forget: (call) => forgetStoredCall(db, call),
      recordUndeleted: (call, error) => recordUndeleted(db, call, error),
    },
    batches: {
      add: (call) => addBatchCall(db, call),
      read: (token) => readBatchCall(db, token),
      create: () => createBatches(db),
      claim: () => claimBatches(db, maxBatches),
      readRequests: (batchId) => readBatchRequests(db, batchId),
      listOpen: (batchId) => listOpenCalls(db, batchId),
      recordName: (batchId, name) => recordBatchName(db, batchId, name),
      postpone: (batchId) => postponeBatch(db, batchId),
      split: (batchId) => splitBatch(db, batchId),
      store: async (results) => outbox.publish(await storeBatchResults(db, { wakeupGraceSeconds }, results)),
      remove: (batchId) => removeBatch(db, batchId),
      removeOver: async () => void (await removeOverCalls(db)),
      getWebhookUrl: (token) => publicUrl && createGeminiWebhookUrl(publicUrl, token),
    },
  };
}
