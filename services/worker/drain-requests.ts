/** Looks for requests of operators to drain this worker (docs/extensions/operator.md). */
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { takeDrainRequest } from '#shared/db/ops/workers.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

export interface DrainRequests {
  close(): void;
}

/** @param parts.drain starts the drain, as SIGTERM does. Called once */
export function watchDrainRequests(parts: {
  db: Db;
  worker: string;
  pollMs: number;
  drain: () => void;
  log: Logger;
}): DrainRequests {
  const { db, worker, pollMs, log } = parts;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  async function look(): Promise<void> {
    try {
      if (await takeDrainRequest(db, worker)) {
        log.info({ worker }, 'an operator has asked this worker to drain');
        isClosed = true;
        parts.drain();
      }
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn']({ error: errorMessage(error) }, 'drain request check failed');
    }
    wait();
  }

  function wait(): void {
    if (!isClosed) timer = setTimeout(() => void look(), pollMs).unref();
  }

  wait();
  return {
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
