/**
 * Retries a database operation while the database is unavailable, for as long as the lease lasts. Only for
 * operations that are safe to repeat: reads, the record of a step (the first record wins), and the end of a
 * turn (it raises the fence, so it is stored once).
 */
import { setTimeout } from 'node:timers/promises';
import { wasRefused } from '#shared/db/client/batcher.ts';
import { FatalError, LeaseLostError, ParkedError } from '#shared/domain/errors.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { HeldLease } from './lease-heartbeat.ts';

const retryMs = 200;

/**
 * @throws {LeaseLostError} if the lease runs out before the operation succeeds
 * @throws the error of an operation that the database refused, or that failed for another reason than the
 *   database
 * @param stop signals after which the operation is not repeated
 */
export async function retryWhileLeased<T>(
  held: HeldLease,
  log: Logger,
  operation: () => Promise<T>,
  ...stop: AbortSignal[]
): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      if (wasRefused(error) || isOwn(error) || stop.some(({ aborted }) => aborted)) throw error;
      log.warn({ ...held.lease, error: errorMessage(error) }, 'database unavailable, retrying');
      await setTimeout(retryMs);
      held.assertHeld();
    }
  }
}

/** The error comes from this program, such as a stored value that cannot be parsed: a repeat would not help. */
function isOwn(error: unknown): boolean {
  return [LeaseLostError, FatalError, ParkedError, TypeError, SyntaxError, RangeError].some(
    (kind) => error instanceof kind,
  );
}
