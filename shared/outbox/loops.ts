/**
 * The loops that every worker and every dispatcher runs: the relay, the reconciler, the schedules and the watch for dead
 * workers.
 *
 *   wait(interval ± a quarter) ──▶ pass ──more work──▶ next pass at once, or when it is due
 *            ▲                      │ error: the wait grows, up to 5 s
 *            └──────────────────────┘
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isPassing } from '../db/client/errors.ts';
import type { Encryptor } from '../crypto/encryption.ts';
import type { Db } from '../db/client/pool.ts';
import type { GetOwnerLimits } from '../db/owners/limits.ts';
import { beatMs } from '../db/turns/heartbeats.ts';
import { backoffSeconds } from '../domain/backoff.ts';
import type { OutboxConfig } from '../runtime/config/common.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';
import { createDeadWorkers } from './dead-workers.ts';
import { createReconciler } from './reconciler.ts';
import { relayOutbox } from './relay.ts';
import { runSchedules } from './schedules.ts';
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
  getLimits: GetOwnerLimits;
  /** See ScheduleParts. */
  encryptor?: Encryptor;
  log: Logger;
}): OutboxLoops {
  const { db, outbox, config, getLimits, encryptor, log } = parts;
  const { wakeupGraceSeconds } = config;
  const stop = new AbortController();
  const findDeadWorkers = createDeadWorkers({ db, outbox, wakeupGraceSeconds, log });
  const reconcileOnce = createReconciler({ db, outbox, config, log });
  const loops = [
    loop('dead workers', async () => {
      await findDeadWorkers();
      return beatMs;
    }),
    loop('relay', async () => nowIf(await relayOutbox({ db, outbox }))),
    loop('reconciler', async () => nowIf(await reconcileOnce())),
    loop('schedules', () => runSchedules({ db, outbox, getLimits, encryptor, wakeupGraceSeconds, log })),
  ];

  /** @param pass returns the milliseconds until there is more work, if it is known */
  async function loop(name: string, pass: () => Promise<number | undefined>): Promise<void> {
    let failures = 0;
    while (!stop.signal.aborted) {
      let moreInMs: number | undefined;
      try {
        moreInMs = await pass();
        failures = 0;
      } catch (error) {
        failures += 1;
        log[isPassing(error) ? 'debug' : 'warn'](
          { loop: name, failures, error: errorMessage(error) },
          'outbox pass failed',
        );
      }
      if (moreInMs === 0) continue;
      // Timers may fire a millisecond early.
      const ms = Math.min(waitMs(failures), moreInMs === undefined ? Infinity : moreInMs + 1);
      await delay(ms, undefined, { signal: stop.signal }).catch(() => undefined);
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

function nowIf(mayHaveMore: boolean): number | undefined {
  return mayHaveMore ? 0 : undefined;
}
