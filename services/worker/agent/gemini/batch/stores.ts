/** Calls that wait for a batch, and batches, as the database keeps them (shared/db/models). */
import type { BatchCallState, OpenBatchCall } from '#shared/db/models/batch-calls.ts';
import type { DueBatch } from '#shared/db/models/batches.ts';
import type { BatchResult } from '#shared/db/models/batch-results.ts';

/** The calls of one task. */
export interface TaskBatches {
  /** @returns false if the task has a deadline that a batch may miss */
  add(call: { token: string; model: string; request: string; collectSeconds: number }): Promise<boolean>;
  /** @returns undefined if no call has this token */
  read(token: string): Promise<BatchCallState | undefined>;
}

/** The batches of all tasks. */
export interface Batches extends TaskBatches {
  /** Collects calls into batches. */
  create(): Promise<void>;
  claim(): Promise<DueBatch[]>;
  /** The calls of a batch that turns wait for. */
  readRequests(batchId: string): Promise<OpenBatchCall[]>;
  /** The ids of all its calls that have not ended. */
  listOpen(batchId: string): Promise<string[]>;
  recordName(batchId: string, name: string): Promise<void>;
  postpone(batchId: string): Promise<void>;
  /** Moves half of its calls to another batch. */
  split(batchId: string): Promise<void>;
  /** Stores results, and wakes the turns that wait for them. */
  store(results: readonly BatchResult[]): Promise<void>;
  remove(batchId: string): Promise<void>;
  /** Removes calls that no turn waits for. */
  removeOver(): Promise<void>;
  /** Where Gemini reports the end of a batch; undefined: nowhere. */
  getWebhookUrl(token: string): string | undefined;
  /** The time between two claims, with jitter. Default: 2 s. */
  everyMs?: number;
  /** The same for the removal of calls. Default: 15 s. */
  removeEveryMs?: number;
}
