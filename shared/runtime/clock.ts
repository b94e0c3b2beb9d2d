/**
 * The clock of the database, as this process knows it. All times that are stored, compared with stored ones, sent
 * or signed are by it: clocks of machines differ, and jump. Between two readings of the database's clock, the
 * monotonic clock of the process counts on.
 *
 *   sent ──────▶ the database reads its clock ──────▶ received
 *
 * The time read is taken as that of `received`, so the estimate is never ahead of the database: a time that the
 * database itself writes later is never before one that a process has written.
 */

/** One reading of the database's clock. */
export interface ClockReading {
  /** Milliseconds since 1970, by the database. */
  time: number;
  /** When the reading was requested and received, by `performance.now()`. */
  sentAt: number;
  receivedAt: number;
}

export interface DatabaseClock {
  /** Milliseconds since 1970, a whole number. By the clock of this process until the first reading. */
  now(): number;
  observe(reading: ClockReading): void;
}

/** The monotonic clocks of two machines drift apart by less than this. */
const maxDrift = 200e-6;

export function createDatabaseClock(): DatabaseClock {
  /** A lower bound of the time of the database minus monotonic time. */
  let known: { offset: number; at: number } | undefined;
  return {
    now: () => (known === undefined ? Date.now() : Math.floor(performance.now() + known.offset)),
    observe: ({ time, sentAt, receivedAt }) => {
      const [lowest, highest] = [time - receivedAt, time - sentAt];
      // A slow reading is less exact than the one before, which is kept unless it cannot be true any more: the
      // database was replaced, or this machine was suspended.
      const driftMs = known === undefined ? 0 : (receivedAt - known.at) * maxDrift;
      if (known !== undefined && lowest < known.offset - driftMs && known.offset - driftMs <= highest) return;
      known = { offset: lowest, at: receivedAt };
    },
  };
}

/** The clock of the one database of this process. */
export const databaseClock = createDatabaseClock();

/** Milliseconds since 1970 by the clock of the database. */
export function databaseNow(): number {
  return databaseClock.now();
}
