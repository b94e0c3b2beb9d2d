/**
 * The two loops that every worker and every dispatcher runs: the relay and the reconciler.
 *
 *   wait(interval ± a quarter) ──▶ pass ──full batch──▶ next pass at once
 *            ▲                      │ error: the wait grows, up to 5 s
 *            └──────────────────────┘
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isPassing } from '../db/client/errors.ts';
import type { Db } from '../db/client/pool.ts';
import { backoffSeconds } from '../domain/backoff.ts';
import type { OutboxConfig } from '../runtime/config/common.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';
import { reconcile } from './reconciler.ts';
import { relayOutbox } from './relay.ts';
import type { OutboxPublisher } from './publisher.ts';

const longestBackoffSeconds = 5;

export interface OutboxLoops {
  /** Starts no further pass, and resolves when the passes in flight have ended. */
  close(): Promise<void>;
}

export function startOutboxLoops(parts: {
  db: Db;
  outbox: OutboxPublisher;
  config: OutboxConfig;
  log: Logger;
}): OutboxLoops {
  const { db, outbox, config, log } = parts;
  const stop = new AbortController();
  const loops = [
    loop('relay', () => relayOutbox({ db, outbox })),
    loop('reconciler', () => reconcile({ db, outbox, config, log })),
  ];

  async function loop(name: string, pass: () => Promise<boolean>): Promise<void> {
    let failures = 0;
    while (!stop.signal.aborted) {
      let mayHaveMore = false;
      try {
        mayHaveMore = await pass();
        failures = 0;
      } catch (error) {
        failures += 1;
        log[isPassing(error) ? 'debug' : 'warn'](
          { loop: name, failures, error: errorMessage(error) },
          'outbox pass failed',
        );
      }
      if (!mayHaveMore)
        await delay(waitMs(failures), undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  /** Jitter keeps the processes from polling in step. */
  function waitMs(failures: number): number {
    if (failures === 0) return config.reconcileMs * (0.75 + 0.5 * Math.random());
    const intervalSeconds = config.reconcileMs / 1000;
    const policy = {
      firstSeconds: 2 * intervalSeconds,
      longestSeconds: Math.max(intervalSeconds, longestBackoffSeconds),
    };
    return 1000 * backoffSeconds(failures, Math.random(), policy);
  }

  const done = Promise.all(loops);
  return {
    close: async () => {
      stop.abort();
      await done;
    },
  };
}
