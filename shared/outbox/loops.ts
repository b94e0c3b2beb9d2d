/**
 * The loops that every worker and every dispatcher runs: the relay and the reconciler.
 *
 *   wait(interval ± a quarter) ──▶ pass ──full──▶ pass at once
 *            ▲                      │ error: the wait doubles, up to 5 s
 *            └──────────────────────┘
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '../db/client/pool.ts';
import type { OutboxConfig } from '../runtime/config/common.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';
import { reconcile } from './reconciler.ts';
import { relayOutbox } from './relay.ts';
import type { OutboxPublisher } from './publisher.ts';

const longestBackoffMs = 5_000;

export interface OutboxLoops {
  /** Begins no further pass, and resolves when none is under way. */
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
      const full = await pass().then(
        (more) => {
          failures = 0;
          return more;
        },
        (error: unknown) => {
          failures += 1;
          log.warn(
            { loop: name, error: errorMessage(error) },
            'a pass over the wakeups failed; it is tried again',
          );
          return false;
        },
      );
      if (!full) await wait(failures);
    }
  }

  async function wait(failures: number): Promise<void> {
    const intervalMs = config.reconcileMs;
    const backoffMs = Math.max(intervalMs, Math.min(intervalMs * 2 ** failures, longestBackoffMs));
    // Chance keeps the processes apart from each other.
    const ms = backoffMs * (0.75 + 0.5 * Math.random());
    await delay(ms, undefined, { signal: stop.signal }).catch(() => undefined);
  }

  const done = Promise.all(loops);
  return {
    close: async () => {
      stop.abort();
      await done;
    },
  };
}
