/** Repeats work for the tasks of all workers, outside of turns. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPassing } from '#shared/db/client/errors.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

export interface PeriodicWork {
  /** Resolves when the work in flight has ended. */
  close(): Promise<void>;
}

/**
 * @param everyMs the time between two runs, with jitter
 * @param failure the log message of a run that fails, which the next run repeats
 */
export function startPeriodicWork(
  everyMs: number,
  work: (signal: AbortSignal) => Promise<void>,
  log: Logger | undefined,
  failure: string,
): PeriodicWork {
  const stop = new AbortController();
  const { signal } = stop;

  async function run(): Promise<void> {
    while (!signal.aborted) {
      // Jitter avoids synchronised runs of the workers.
      const ms = everyMs * (0.75 + Math.random() / 2);
      await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await work(signal);
      } catch (error) {
        if (signal.aborted) return;
        log?.[isPassing(error) ? 'debug' : 'warn']({ reason: errorMessage(error) }, failure);
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
