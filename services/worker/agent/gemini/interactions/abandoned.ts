/**
 * Cancels calls at Google that no turn waits for anymore, because their task was canceled, expired or failed. The wait of
 * such a call becomes overdue at its next poll, so it is canceled within about a minute.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, type GoogleGenAI } from '@google/genai';
import type { AbandonedModelWait } from '#shared/db/turns/model-waits.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { cancelInteraction } from './client.ts';

/** The waits of all tasks; see shared/db/turns/model-waits.ts. */
export interface AbandonedCalls {
  read(): Promise<AbandonedModelWait[]>;
  close(wait: AbandonedModelWait): Promise<void>;
  /** The time between two reads, with jitter. Default: 5 s. */
  everyMs?: number;
}

export interface AbandonedLoop {
  close(): Promise<void>;
}

const intervalMs = 5_000;

export function startAbandonedLoop(
  client: GoogleGenAI,
  calls: AbandonedCalls,
  log: Logger | undefined,
): AbandonedLoop {
  const stop = new AbortController();
  const { signal } = stop;
  const { everyMs = intervalMs } = calls;

  /** A call that cannot be canceled now is read again. One that Google no longer has needs nothing. */
  async function cancel(wait: AbandonedModelWait): Promise<void> {
    try {
      if (wait.interaction !== null) await cancelInteraction(client, wait.interaction, signal);
    } catch (error) {
      const isFinal = error instanceof ApiError && (error.status === 400 || error.status === 404);
      if (!isFinal) throw error;
    }
    await calls.close(wait);
    log?.info({ taskId: wait.taskId, interaction: wait.interaction }, 'model call abandoned');
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      // Jitter avoids synchronised reads of the workers.
      await sleep(everyMs * (0.75 + Math.random() / 2), undefined, { signal, ref: false }).catch(
        () => undefined,
      );
      if (signal.aborted) return;
      try {
        for (const wait of await calls.read()) await cancel(wait);
      } catch (error) {
        if (!signal.aborted) log?.warn({ reason: errorMessage(error) }, 'abandoned model calls not canceled');
      }
    }
  }

  const running = run();
  return {
    close: async () => {
      stop.abort();
      await running;
    },
  };
}
