/** Looks for requests to drain this worker, of operators (docs/extensions/operator.md) and of deploys (docs/operate/deploy.md#canary). */
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { takeDrainRequest } from '#shared/db/ops/workers.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

export interface DrainRequests {
  close(): void;
}

/**
 * @param parts.exit drains as SIGTERM does. Called once
 * @param parts.stop has the worker take no more turns, until its platform ends it. May be called again
 */
export function watchDrainRequests(parts: {
  db: Db;
  worker: string;
  pollMs: number;
  exit: () => void;
  stop: () => void;
  log: Logger;
}): DrainRequests {
  const { db, worker, pollMs, log } = parts;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  async function look(): Promise<void> {
    try {
      const request = await takeDrainRequest(db, worker);
      if (request === 'exit') {
        log.info({ worker }, 'an operator has asked this worker to drain');
        isClosed = true;
        parts.exit();
      } else if (request === 'stay') {
        log.info({ worker }, 'a deploy has asked this worker to take no more turns');
        parts.stop();
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
