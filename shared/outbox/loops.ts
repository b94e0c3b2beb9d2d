/**
 * The loops that every worker and every dispatcher runs: the relay and the reconciler.
 *
 *   wait(interval ± a quarter) ──▶ pass ──full──▶ pass at once
 *            ▲                      │ error: the wait doubles, up to 5 s
 *            └──────────────────────┘
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '../db/client/pool.ts';
import type { BellConfig } from '../runtime/config/common.ts';
import { messageOf, type Logger } from '../runtime/log.ts';
import { reconcile } from './reconciler.ts';
import { relayBells } from './relay.ts';
import type { Ringer } from './publisher.ts';

const longestBackoffMs = 5_000;

export interface BellLoops {
  /** Begins no further pass, and resolves when none is under way. */
  close(): Promise<void>;
}

export function startBellLoops(parts: {
  db: Db;
  ringer: Ringer;
  config: BellConfig;
  log: Logger;
}): BellLoops {
  const { db, ringer, config, log } = parts;
  const stop = new AbortController();
  const loops = [
    loop('relay', () => relayBells({ db, ringer })),
    loop('reconciler', () => reconcile({ db, ringer, config, log })),
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
            { loop: name, error: messageOf(error) },
            'a pass over the bells failed; it is tried again',
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
