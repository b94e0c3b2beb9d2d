/**
 * Rows that another transaction has locked. A statement that serves a set skips such a row, so that the rest of the
 * set does not wait for it, and its caller repeats it for this row.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** The result for a row that was skipped because another transaction has it, or has just changed it. */
export const locked = Symbol('locked');

/** Most locks are held for the time of one statement. */
const firstPauseMs = 5;
const longestPauseMs = 200;
const inLineFromMs = 100;
/** Longer than the limits of a transaction (client/pool.ts). */
const maxWaitMs = 5_000;

/** SQLSTATE lock_not_available, so that callers treat it like a lock that the database waited for. */
export class LockedError extends Error {
  override readonly name = 'LockedError';
  readonly code = '55P03';

  constructor() {
    super('another transaction has locked the row');
  }
}

/**
 * Repeats an operation while another transaction has its row, at growing intervals.
 *
 * @param inLine runs the operation once the row is locked for it. A row that is locked again and again would never be
 *   found free, so that it is called from the sixth attempt
 * @throws {LockedError} after 5 s
 */
export async function retryWhileLocked<T>(
  operation: () => Promise<T | typeof locked>,
  inLine: () => Promise<T | typeof locked> = operation,
): Promise<T> {
  const startedAt = performance.now();
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    const result = await (pauseMs < inLineFromMs ? operation() : inLine());
    if (result !== locked) return result;
    if (performance.now() - startedAt > maxWaitMs) throw new LockedError();
    await sleep(pauseMs);
  }
}
