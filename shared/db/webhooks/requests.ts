/**
 * Limits the calls of an owner that cause webhooks by themselves: redeliveries, tests, and configs that get the
 * last event of an ended task. A call of a hundred bytes may cause a webhook of a megabyte. The limit holds over
 * all processes and tenants: each call moves a clock of its owner forward, and the clock may be half a minute
 * ahead of time (generic cell rate algorithm, ITU-T I.371).
 */
import { sql } from 'kysely';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';

/** Half a minute's calls may follow each other at once. */
const aheadSeconds = 30;

/** Thrown within a transaction, which is then rolled back. */
export class TooManyWebhookRequestsError extends Error {
  override readonly name = 'TooManyWebhookRequestsError';
  readonly owner: string;
  readonly perMinute: number;
  readonly retryAfterSeconds: number;

  constructor(owner: string, perMinute: number, retryAfterSeconds: number) {
    super(`more than ${perMinute} requests for webhooks in a minute`);
    this.owner = owner;
    this.perMinute = perMinute;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * @param perMinute 0: no limit
 * @throws {TooManyWebhookRequestsError}
 */
export async function takeWebhookRequest(trx: Db, owner: string, perMinute: number): Promise<void> {
  if (perMinute === 0) return;
  const interval = 60 / perMinute;
  const ahead = seconds(Math.max(0, aheadSeconds - interval));
  const { rows } = await sql<{ taken: boolean; wait: number }>`
    with taken as (
      insert into webhook_requests as r (owner, at) values (${owner}, now() + ${seconds(interval)})
      on conflict (owner) do update set at = greatest(r.at, now()) + ${seconds(interval)}
        where r.at <= now() + ${ahead}
      returning owner
    )
    select exists (select from taken) as taken,
      coalesce((
        select extract(epoch from at - now() - ${ahead}) from webhook_requests where owner = ${owner}
      ), 0)::float8 as wait`.execute(trx);
  const [row] = rows;
  if (row?.taken === true) return;
  // A call that waited for another of its owner may have read a clock that was not yet moved.
  throw new TooManyWebhookRequestsError(owner, perMinute, Math.max(1, Math.ceil(row?.wait ?? 0)));
}
