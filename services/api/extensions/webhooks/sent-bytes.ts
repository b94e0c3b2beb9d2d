/** The limit of an owner on the bytes of webhooks, for calls that cause some. */
import type { Db } from '#shared/db/client/pool.ts';
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { getHour, readSentBytes, secondsToNextHour } from '#shared/db/webhooks/usage.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { TooManyRequestsError } from '../../handler/errors.ts';

/**
 * Refuses calls whose webhooks would only wait for the next hour.
 *
 * @throws {TooManyRequestsError}
 */
export async function checkSentBytes(
  { db, getLimits }: { db: Db; getLimits: GetOwnerLimits },
  { owner }: Caller,
): Promise<void> {
  const { webhookBytesPerHour: limit } = await getLimits(owner);
  const now = databaseNow();
  if (limit === 0 || (await readSentBytes(db, owner, getHour(now))) < limit) return;
  const wait = secondsToNextHour(now);
  throw new TooManyRequestsError(
    `Webhooks of ${limit} bytes have been sent for you in this hour, which is your limit: try again in ${wait} s`,
    wait,
  );
}
