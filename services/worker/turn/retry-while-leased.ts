/**
 * Retries a database operation while the database is unavailable, until the lease is lost. An outage that outlasts
 * the lease time loses nothing: the result of a step waits here, and its fence decides whether it is stored. Only
 * for operations that are safe to repeat: reads, the record of a step (the first record wins), and the end of a
 * turn (it raises the fence, so it is stored once).
 */
import { setTimeout } from 'node:timers/promises';
import { isOutOfMemory, isPassing } from '#shared/db/client/errors.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { HeldLease } from './lease-heartbeat.ts';

const retryMs = 200;

/**
 * @throws {LeaseLostError} if the lease is lost before the operation succeeds
 * @throws the error of an operation that would not succeed later either
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
      if (!isPassing(error) || isOutOfMemory(error) || stop.some(({ aborted }) => aborted)) throw error;
      log.debug({ ...held.lease, error: errorMessage(error) }, 'database unavailable, retrying');
      await setTimeout(retryMs);
      const lost = held.lost();
      if (lost !== undefined) throw lost;
    }
  }
}
