/**
 * Cancels calls at Google that no turn waits for anymore, because their task was canceled, expired or failed. The wait of
 * such a call becomes overdue at its next poll, so it is canceled within about a minute. Its usage is counted.
 */
import { ApiError, type GoogleGenAI } from '@google/genai';
import type { AbandonedModelWait } from '#shared/db/turns/waits/model-waits.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { hasTokens, toModelUsage } from '../model/cost.ts';
import { cancelInteraction } from './client.ts';
import { startPeriodicWork, type PeriodicWork } from './periodic-work.ts';
import { toCounts } from './response.ts';

/** The waits of all tasks; see shared/db/turns/waits/model-waits.ts. */
export interface AbandonedCalls {
  read(): Promise<AbandonedModelWait[]>;
  /** @param usage of the call; undefined: it is not known */
  close(wait: AbandonedModelWait, usage: ModelUsage | undefined): Promise<void>;
  /** The time between two reads, with jitter. Default: 5 s. */
  everyMs?: number;
}

const intervalMs = 5_000;

export function startCancellation(
  client: GoogleGenAI,
  calls: AbandonedCalls,
  log: Logger | undefined,
): PeriodicWork {
  /** A call that cannot be canceled now is read again. One that Google no longer has needs nothing. */
  async function cancel(wait: AbandonedModelWait, signal: AbortSignal): Promise<ModelUsage | undefined> {
    if (wait.interaction === null) return undefined;
    try {
      const counts = toCounts(await cancelInteraction(client, wait.interaction, signal), wait.model);
      return hasTokens(counts) ? toModelUsage(counts, wait.model, wait.prices) : undefined;
    } catch (error) {
      const isFinal = error instanceof ApiError && (error.status === 400 || error.status === 404);
      if (!isFinal) throw error;
      return undefined;
    }
  }

  return startPeriodicWork(
    calls.everyMs ?? intervalMs,
    async (signal) => {
      for (const wait of await calls.read()) {
        await calls.close(wait, await cancel(wait, signal));
        log?.info({ taskId: wait.taskId, interaction: wait.interaction }, 'model call abandoned');
      }
    },
    log,
    'abandoned model calls not canceled',
  );
}
