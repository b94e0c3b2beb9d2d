/** The limit on what the model calls of an owner cost in a day. */
import { OwnerLimitError } from '../../domain/errors.ts';
import { secondsToMidnight } from '../../domain/owner-limits.ts';
import { isPassing } from '../client/errors.ts';
import type { ReadSpentToday } from '../models/ledger.ts';
import type { GetOwnerLimits } from './limits.ts';
import { databaseNow } from '../../runtime/clock.ts';

/** A parked turn asks again after this time at the latest, in case an operator has raised the limit. */
const maxParkMs = 5 * 60_000;
/** Turns that wait for midnight start within this time after it. */
const spreadMs = 60_000;

/**
 * While the database is unavailable, turns proceed.
 *
 * @throws {OwnerLimitError} if the limit is reached: the turn waits for the next day (UTC)
 */
export type CheckCost = (owner: string) => Promise<void>;

export function createCostCheck(getLimits: GetOwnerLimits, readSpent: ReadSpentToday): CheckCost {
  return async (owner) => {
    let max: number;
    try {
      max = (await getLimits(owner)).modelCostPerDay;
      if (max === 0 || (await readSpent(owner)).cost < max) return;
    } catch (error) {
      if (!isPassing(error)) throw error;
      return;
    }
    const now = databaseNow();
    const midnight = new Date(now + 1000 * secondsToMidnight(now));
    const until = Math.min(
      midnight.getTime() + spreadMs * Math.random(),
      now + maxParkMs * (0.5 + Math.random() / 2),
    );
    throw new OwnerLimitError(
      `Waiting until ${midnight.toISOString().slice(0, 16)}Z: your limit of ${max} for the cost of model calls in a day is reached`,
      new Date(until),
    );
  };
}
