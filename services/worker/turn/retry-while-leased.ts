/**
 * Retries a database operation while the database is unavailable, until the lease is lost. An outage that outlasts
 * the lease time loses nothing: the result of a step waits here, and its fence decides whether it is stored. Only
 * for operations that are safe to repeat: reads, the record of a step (the first record wins), and the end of a
 * turn (it raises the fence, so it is stored once).
 *
 * A read that times out again and again is too large for the database, so it ends with its timeout.
 */
import { setTimeout } from 'node:timers/promises';
import { isOutOfMemory, isPassing, isTimeout } from '#shared/db/client/errors.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { HeldLease } from './lease-heartbeat.ts';

const retryMs = 200;
/** Timeouts in a row after which a read is not repeated. */
const maxReadTimeouts = 5;

/**
 * @throws {LeaseLostError} if the lease is lost before the operation succeeds
 * @throws the error of an operation that would not succeed later either
 */
export async function retryWhileLeased<T>(
  held: HeldLease,
  log: Logger,
  operation: () => Promise<T>,
  mayRepeat: (error: unknown) => boolean = () => true,
): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      if (!isPassing(error) || isOutOfMemory(error) || !mayRepeat(error)) throw error;
      log.debug({ ...held.lease, error: errorMessage(error) }, 'database unavailable, retrying');
      await setTimeout(retryMs);
      const lost = held.lost();
      if (lost !== undefined) throw lost;
    }
  }
}

/**
 * Retries a read like `retryWhileLeased`, but not for ever if it times out.
 *
 * @throws the error of the fifth timeout in a row
 * @param stop signals after which the read is not repeated
 */
export async function retryReadWhileLeased<T>(
  held: HeldLease,
  log: Logger,
  read: () => Promise<T>,
  ...stop: AbortSignal[]
): Promise<T> {
  let timeouts = 0;
  return retryWhileLeased(held, log, read, (error) => {
    timeouts = isTimeout(error) ? timeouts + 1 : 0;
    return timeouts < maxReadTimeouts && !stop.some(({ aborted }) => aborted);
  });
}
