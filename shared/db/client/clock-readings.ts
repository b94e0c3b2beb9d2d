/**
 * Reads the clock of the database (runtime/clock.ts): with the first query of each connection, and every few seconds
 * on a connection that is being returned to its pool, so that no statement waits for it.
 */
import type { ClientBase } from 'pg';
import { databaseClock } from '../../runtime/clock.ts';
import { observeGauges } from '../../runtime/instruments.ts';
import type { Logger } from '../../runtime/log.ts';

const intervalMs = 5_000;
/** A larger difference is logged, because logs have the time of their machine. */
const reportedMs = 2_000;

/** Selects the columns of ClockRow. */
export const clockColumn = `extract(epoch from clock_timestamp())::float8 as clock`;

export interface ClockReader {
  /** Sends a query that selects `clockColumn`, and returns its row. */
  queryWithClock<Row extends object>(client: ClientBase, text: string): Promise<Row | undefined>;
  /** Whether a new reading is due. True once in each interval. */
  isDue(): boolean;
}

export function createClockReader(log: Logger): ClockReader {
  observeGauges(['clockDifference'], async () => ({ clockDifference: getAheadMs() / 1000 }));
  let dueAt = -Infinity;
  let reported = false;

  function report(): void {
    const aheadMs = getAheadMs();
    const differs = Math.abs(aheadMs) > reportedMs;
    if (differs && !reported) {
      log.warn(
        { secondsAhead: aheadMs / 1000 },
        'the clock of this machine is wrong, or that of the database: all times but those of logs are by the database',
      );
    }
    reported = differs;
  }

  return {
    queryWithClock: async <Row extends object>(client: ClientBase, text: string) => {
      dueAt = performance.now() + intervalMs;
      const sentAt = performance.now();
      const { rows } = await client.query<Row & { clock: number }>(text);
      const [row] = rows;
      if (row === undefined) return undefined;
      databaseClock.observe({ time: row.clock * 1000, sentAt, receivedAt: performance.now() });
      report();
      return row;
    },
    isDue: () => {
      const now = performance.now();
      if (now < dueAt) return false;
      dueAt = now + intervalMs;
      return true;
    },
  };
}

function getAheadMs(): number {
  return Date.now() - databaseClock.now();
}
