/** Bytes of webhook bodies that were sent for owners, by hour (UTC), over all dispatchers. */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { bigint, rows as toRows, text, timestamp } from '../client/rows.ts';

export interface SentBytes {
  owner: string;
  /** The start of the hour. */
  hour: Date;
  bytes: number;
}

const hourMs = 3_600_000;
/** Rows are kept for operators. */
const keptDays = 2;

export function getHour(now: number): Date {
  return new Date(Math.floor(now / hourMs) * hourMs);
}

/** Returns the whole seconds until the next hour starts, at least 1. */
export function secondsToNextHour(now: number): number {
  return Math.ceil((hourMs - (now % hourMs)) / 1000);
}

/**
 * Adds bytes, and returns the sums with them. Rows are locked in order, so that two calls never wait for each
 * other.
 *
 * @param sent one element for each owner and hour
 */
export async function addSentBytes(db: Db, sent: readonly SentBytes[]): Promise<SentBytes[]> {
  const { rows } = await sql<SentBytes>`
    with input as (${toRows('input', sent, {
      owner: text(({ owner }) => owner),
      hour: timestamp(({ hour }) => hour),
      bytes: bigint(({ bytes }) => bytes),
    })})
    insert into webhook_usage as u (owner, hour, bytes)
    select owner, hour, bytes from input order by owner, hour
    on conflict (owner, hour) do update set bytes = u.bytes + excluded.bytes
    returning owner, hour, bytes::float8 as bytes`.execute(db);
  return rows;
}

export async function readSentBytes(db: Db, owner: string, hour: Date): Promise<number> {
  const row = await db
    .selectFrom('webhook_usage')
    .select('bytes')
    .where('owner', '=', owner)
    .where('hour', '=', hour)
    .executeTakeFirst();
  return Number(row?.bytes ?? 0);
}

export async function readSentBytesOfOwners(db: Db, hour: Date): Promise<Map<string, number>> {
  const sums = await db
    .selectFrom('webhook_usage')
    .select(['owner', 'bytes'])
    .where('hour', '=', hour)
    .execute();
  return new Map(sums.map(({ owner, bytes }) => [owner, Number(bytes)]));
}

/** Removes what no limit needs any more, also the clocks of `requests.ts`. */
export async function deleteOldUsage(db: Db): Promise<void> {
  await sql`
    with old_requests as (delete from webhook_requests where at < now() - interval '1 day')
    delete from webhook_usage where hour < now() - ${keptDays} * interval '1 day'`.execute(db);
}
