/** Shows the other processes that this worker lives (shared/db/turns/heartbeats.ts). */
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { beat, beatMs, deadAfterMs, removeHeartbeat } from '#shared/db/turns/heartbeats.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

/** Others are sent meanwhile, because the connection of one that is not answered may be dead. */
const maxUnanswered = 2;

export interface ProcessHeartbeat {
  /** Until when no other process takes this one for dead, by `performance.now()`. */
  until(): number;
  /** Calls the listener after each beat; `wasDead`: the leases may have been ended. */
  onBeat(listener: (wasDead: boolean) => void): void;
  /** Removes the heartbeat. Called when all leases are released. */
  close(): Promise<void>;
}

/** Beats at once, and then about once a second. */
export function startProcessHeartbeat(parts: { db: Db; worker: string; log: Logger }): ProcessHeartbeat {
  const { db, worker, log } = parts;
  let until = -Infinity;
  let hasBeaten = false;
  let listener: (wasDead: boolean) => void = () => undefined;
  const beating = new Set<Promise<void>>();

  async function beatOnce(): Promise<void> {
    const sentAt = performance.now();
    try {
      const isNew = await beat(db, worker);
      const wasDead = isNew && hasBeaten;
      hasBeaten = true;
      if (wasDead) log.warn({ worker }, 'this worker was taken for dead; it confirms its leases');
      until = Math.max(until, sentAt + deadAfterMs);
      listener(wasDead);
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn']({ error: errorMessage(error) }, 'heartbeat failed');
    }
  }

  const timer = setInterval(next, beatMs);
  function next(): void {
    if (beating.size >= maxUnanswered) return;
    const one = beatOnce().finally(() => beating.delete(one));
    beating.add(one);
  }
  next();

  return {
    until: () => until,
    onBeat: (added) => (listener = added),
    close: async () => {
      clearInterval(timer);
      await Promise.all(beating);
      await removeHeartbeat(db, worker).catch((error: unknown) =>
        log.debug({ error: errorMessage(error) }, 'heartbeat not removed'),
      );
    },
  };
}
