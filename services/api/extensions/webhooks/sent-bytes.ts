/** The limit of an owner on the bytes of webhooks, for calls that cause some. */
import type { Db } from '#shared/db/client/pool.ts';
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { getHour, readSentBytes } from '#shared/db/webhooks/usage.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { refuse } from '../../limits/quota-error.ts';

/**
 * Refuses calls whose webhooks would only wait for the next hour.
 *
 * @throws {QuotaExceededError}
 */
export async function checkSentBytes(
  { db, getLimits }: { db: Db; getLimits: GetOwnerLimits },
  { owner }: Caller,
): Promise<void> {
  const { webhookBytesPerHour: max } = await getLimits(owner);
  if (max === 0) return;
  const used = await readSentBytes(db, owner, getHour(databaseNow()));
  if (used >= max) throw refuse(owner, { limit: 'webhookBytesPerHour', used, max, wanted: 0 });
}
