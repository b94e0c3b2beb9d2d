/**
 * Limits the bytes of webhook bodies that are sent for an owner in an hour. Each dispatcher adds what it has sent
 * to a table once a second and so learns what the others have sent. The limit may be exceeded by what all
 * dispatchers send in that second.
 */
import { isPassing } from '#shared/db/client/errors.ts';
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import type { Db } from '#shared/db/client/pool.ts';
import {
  addSentBytes,
  deleteOldUsage,
  getHour,
  readSentBytes,
  secondsToNextHour,
} from '#shared/db/webhooks/usage.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

const flushMs = 1_000;
/** Deliveries that wait for the next hour are spread over this time. */
const spreadSeconds = 600;
/** They ask again after this time at the latest: the limit may have been raised. */
const maxDelaySeconds = 300;

export interface HourlyBytes {
  /**
   * Returns 0 if the owner may send a body now, or the seconds until it should be tried again.
   *
   * @throws if the database cannot be reached
   */
  check(owner: string): Promise<number>;
  /** Counts a body that is about to be sent. Negative: it was not. */
  add(owner: string, bytes: number): void;
  /** Adds what is not yet in the table. */
  close(): Promise<void>;
}

interface Count {
  hour: Date;
  /** The sum of all dispatchers when it was last read. */
  stored: number;
  /** Sent, and not in the table as far as this process knows. */
  unsaved: number;
}

interface Parts {
  db: Db;
  getLimits: GetOwnerLimits;
  log: Logger;
  /** Milliseconds since 1970. Default: the clock of the database. */
  now?: () => number;
}

export function createHourlyBytes({ db, getLimits, log, now = databaseNow }: Parts): HourlyBytes {
  const counts = new Map<string, Count>();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;
  let lastHour = getHour(now());

  function find(owner: string): Count | undefined {
    const count = counts.get(owner);
    return count?.hour.getTime() === getHour(now()).getTime() ? count : undefined;
  }

  async function flush(): Promise<void> {
    const adding = [...counts].flatMap(([owner, { hour, unsaved: bytes }]) =>
      bytes === 0 ? [] : [{ owner, hour, bytes }],
    );
    try {
      for (const { owner, hour, bytes } of await addSentBytes(db, adding)) {
        const count = counts.get(owner);
        if (count?.hour.getTime() !== hour.getTime()) continue;
        count.stored = bytes;
        count.unsaved -= adding.find((added) => added.owner === owner)?.bytes ?? 0;
      }
      const hour = getHour(now());
      if (hour.getTime() === lastHour.getTime()) return;
      lastHour = hour;
      for (const [owner, count] of counts)
        if (find(owner) === undefined && count.unsaved === 0) counts.delete(owner);
      await deleteOldUsage(db);
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn'](
        { error: errorMessage(error) },
        'sent bytes were not stored; they are added again',
      );
    }
  }

  function schedule(): void {
    timer ??= setTimeout(() => {
      flushing = flush().finally(() => {
        timer = undefined;
        if ([...counts.values()].some(({ unsaved }) => unsaved !== 0)) schedule();
      });
    }, flushMs).unref();
  }

  return {
    check: async (owner) => {
      const { webhookBytesPerHour: limit } = await getLimits(owner);
      if (limit === 0) return 0;
      let count = find(owner);
      if (count === undefined) {
        const hour = getHour(now());
        const stored = await readSentBytes(db, owner, hour);
        count = find(owner) ?? { hour, stored: 0, unsaved: 0 };
        count.stored = Math.max(count.stored, stored);
        counts.set(owner, count);
      }
      if (count.stored + count.unsaved < limit) return 0;
      const chance = Math.random();
      const untilNextHour = secondsToNextHour(now()) + spreadSeconds * chance;
      return Math.min(untilNextHour, maxDelaySeconds * (1 - 0.2 * chance));
    },
    add: (owner, bytes) => {
      if (bytes === 0) return;
      const count = find(owner) ?? { hour: getHour(now()), stored: 0, unsaved: 0 };
      count.unsaved += bytes;
      counts.set(owner, count);
      schedule();
    },
    close: async () => {
      clearTimeout(timer);
      await flushing;
      clearTimeout(timer);
      await flush();
    },
  };
}
