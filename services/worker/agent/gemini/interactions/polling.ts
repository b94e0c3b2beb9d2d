/**
 * Polls calls at Google whose turns are suspended, apart from those turns: a poll takes no lease and no slot, and a worker
 * that dies in one holds up nothing. The turn of a call that has ended is woken, as by Gemini's webhook.
 *
 *   due ─▶ claimed, with others, by one statement ─▶ asked at Google ──ended, or gone──▶ reported: the turn runs
 *    ▲                                                    │
 *    └───────────────── due again, later each time ◀──────┘
 */
import { ApiError, type GoogleGenAI } from '@google/genai';
import type { DueCall } from '#shared/db/models/polls.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { getInteraction } from './client.ts';
import { startPeriodicWork, type PeriodicWork } from './periodic-work.ts';
import { hasEnded } from './response.ts';

/** The calls of all tasks; see shared/db/models/polls.ts. */
export interface DueCalls {
  /** @param limit at most so many */
  claim(limit: number): Promise<DueCall[]>;
  /** Wakes the turn of a call. */
  report(call: DueCall): Promise<void>;
  /** The time between two claims, with jitter. Default: 1 s. */
  everyMs?: number;
}

const intervalMs = 1_000;
/** Requests of one worker at the same time. */
const maxRequests = 100;

export function startPolling(client: GoogleGenAI, calls: DueCalls, log: Logger | undefined): PeriodicWork {
  const asking = new Set<Promise<void>>();

  /** A call that cannot be asked for now is due again. */
  async function poll(call: DueCall, signal: AbortSignal): Promise<void> {
    try {
      if (await needsTurn(client, call.interaction, signal)) await calls.report(call);
    } catch (error) {
      if (!signal.aborted)
        log?.debug({ reason: errorMessage(error), interaction: call.interaction }, 'model call not polled');
    }
  }

  const claims = startPeriodicWork(
    calls.everyMs ?? intervalMs,
    async (signal) => {
      const room = maxRequests - asking.size;
      if (room <= 0) return;
      for (const call of await calls.claim(room)) {
        const asked = poll(call, signal).finally(() => asking.delete(asked));
        asking.add(asked);
      }
    },
    log,
    'due model calls not read',
  );
  return {
    close: async () => {
      await claims.close();
      await Promise.all(asking);
    },
  };
}

/** Whether the turn of a call must run: it has ended, or Google no longer has it. */
async function needsTurn(client: GoogleGenAI, id: string, signal: AbortSignal): Promise<boolean> {
  try {
    return hasEnded(await getInteraction(client, id, signal));
  } catch (error) {
    if (error instanceof ApiError && (error.status === 400 || error.status === 404)) return true;
    throw error;
  }
}
