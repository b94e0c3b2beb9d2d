/** Notices workers that have died, by their heartbeats (db/turns/heartbeats.ts), and wakes their turns. */
import type { Db } from '../db/client/pool.ts';
import { beatMs, deadAfterMs, endLeasesOfDead, readHeartbeats } from '../db/turns/heartbeats.ts';
import { instruments } from '../runtime/instruments.ts';
import type { Logger } from '../runtime/log.ts';
import type { OutboxPublisher } from './publisher.ts';

/**
 * After a longer pause between two looks, this process has been standing still or the database was away, and so perhaps
 * were the others: it starts to watch again.
 */
const maxPauseMs = 2.5 * beatMs;

export interface DeadWorkersParts {
  db: Db;
  outbox: OutboxPublisher;
  wakeupGraceSeconds: number;
  log: Logger;
  /** A monotonic clock in milliseconds. Default: `performance.now`. */
  now?: () => number;
}

/** Returns a function that looks once, to be called about once a second. */
export function createDeadWorkers(parts: DeadWorkersParts): () => Promise<void> {
  const { db, outbox, wakeupGraceSeconds, log, now = () => performance.now() } = parts;
  /** By worker: the count, and since when it has not changed. */
  let seen = new Map<string, { beats: number; since: number }>();
  let lookedAt = -Infinity;

  return async () => {
    const heartbeats = await readHeartbeats(db);
    const at = now();
    if (at - lookedAt > maxPauseMs) seen = new Map();
    lookedAt = at;
    seen = new Map(
      heartbeats.map(({ worker, beats }) => {
        const before = seen.get(worker);
        return [worker, before?.beats === beats ? before : { beats, since: at }];
      }),
    );
    const dead = heartbeats.filter(({ worker }) => at - (seen.get(worker)?.since ?? at) >= deadAfterMs);
    if (dead.length === 0) return;
    // While this process cannot write, workers cannot beat either.
    const watched = seen;
    seen = new Map();
    const wakeups = await endLeasesOfDead(db, wakeupGraceSeconds, dead);
    seen = watched;
    log.warn({ workers: dead.map(({ worker }) => worker), turns: wakeups.length }, 'workers have died');
    if (wakeups.length === 0) return;
    instruments.reconcilerFound.record(wakeups.length, {
      'longhaul.reconciler.kind': 'turns_of_dead_workers',
    });
    await outbox.publishAll(wakeups);
  };
}
