/**
 * Deletes calls at Google whose tasks or steps were removed, so that prompts and answers are stored there no longer than here
 * (shared/db/models/stored-calls.ts).
 */
import { ApiError, type GoogleGenAI } from '@google/genai';
import type { StoredCall } from '#shared/db/models/stored-calls.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { cancelInteraction, deleteInteraction } from './client.ts';
import { startPeriodicWork, type PeriodicWork } from './periodic-work.ts';

/** The calls of all removed tasks. */
export interface StoredCalls {
  claim(): Promise<StoredCall[]>;
  forget(call: StoredCall): Promise<void>;
  /** @returns whether the deletion is tried again */
  recordUndeleted(call: StoredCall, error: string): Promise<boolean>;
  /** The time between two reads, with jitter. Default: 30 s. */
  everyMs?: number;
}

const intervalMs = 30_000;

export function startDeletion(
  client: GoogleGenAI,
  calls: StoredCalls,
  log: Logger | undefined,
): PeriodicWork {
  async function remove(call: StoredCall, signal: AbortSignal): Promise<void> {
    try {
      // One that runs would be paid for. One that has ended may be refused.
      await cancelInteraction(client, call.interaction, signal).catch(() => signal.throwIfAborted());
      await deleteInteraction(client, call.interaction, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ApiError && error.status === 404)) {
        const { interaction, attempts } = call;
        const again = await calls.recordUndeleted(call, describe(error));
        log?.warn(
          { interaction, attempts, again, reason: describe(error) },
          'model call not deleted at Google',
        );
        return;
      }
    }
    await calls.forget(call);
  }

  return startPeriodicWork(
    calls.everyMs ?? intervalMs,
    async (signal) => {
      for (const call of await calls.claim()) await remove(call, signal);
    },
    log,
    'stored model calls not read',
  );
}

function describe(error: unknown): string {
  return error instanceof ApiError ? `status ${error.status}` : errorMessage(error);
}
