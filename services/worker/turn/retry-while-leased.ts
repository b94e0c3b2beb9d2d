/**
 * Does something with the database, again and again while it is away, for as long as the lease lasts. For what may be
 * done twice: reads, the record of a step, which stays as it was first stored, and the end of a turn, which raises the
 * fence and so is stored once.
 */
import { setTimeout } from 'node:timers/promises';
import { wasRefused } from '#shared/db/client/batcher.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { HeldLease } from './lease-heartbeat.ts';

const retryMs = 200;

/**
 * @throws {LeaseLostError} when the lease has run out meanwhile
 * @throws what the database refused
 */
export async function retryWhileLeased<T>(
  held: HeldLease,
  log: Logger,
  operation: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      if (error instanceof LeaseLostError || wasRefused(error)) throw error;
      log.warn({ ...held.lease, error: errorMessage(error) }, 'the database is away; trying again');
      await setTimeout(retryMs);
      held.assertHeld();
    }
  }
}
