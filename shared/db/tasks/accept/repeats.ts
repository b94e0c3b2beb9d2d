/**
 * Repeated messages among new tasks. Hardly any message is one, and looking for them takes a tenth of the statement. So
 * sets are stored without the look:
 *
 *   store ──▶ stored
 *     └─────▶ a repeat violates the key of `sends`, and nothing is stored ──▶ store again, without the repeats
 *
 * For a minute after a repeat, the look comes first: a client that repeats messages in a loop does not make every
 * statement run twice.
 */
import { sql, type RawBuilder } from 'kysely';
import { seconds } from '../../client/fragments.ts';

const lookMs = 60_000;

/** @param store stores a set; `look`: leaves its repeats out */
export type StoreWithoutRepeats = <T>(store: (look: boolean) => Promise<T>) => Promise<T>;

/** @param now a monotonic clock in milliseconds */
export function createRepeatGuard(now: () => number = () => performance.now()): StoreWithoutRepeats {
  let lookUntil = Number.NEGATIVE_INFINITY;
  return async (store) => {
    if (now() < lookUntil) return store(true);
    try {
      return await store(false);
    } catch (error) {
      if (!isRepeat(error)) throw error;
      lookUntil = now() + lookMs;
      return store(true);
    }
  };
}

/** Returns whether a set that was stored without the look has a repeat (unique_violation). */
function isRepeat(error: unknown): boolean {
  const { code, table } = error as { code?: unknown; table?: unknown };
  return code === '23505' && table === 'sends';
}

/**
 * The CTEs `send` and `fresh`: the messages of a CTE `input`, without those that were already sent within the window. A
 * message whose window is over is replaced.
 */
export function insertNewSends(windowSeconds: number): RawBuilder<unknown> {
  return sql`
    send as (
      ${insertSends(windowSeconds, sql`input`)}
      on conflict (tenant, owner, message_id) do update
        set request_hash = excluded.request_hash, task_id = excluded.task_id, turn = 1,
          expires_at = excluded.expires_at
        where sends.expires_at < now()
      returning task_id
    ),
    fresh as (select * from input where task_id in (select task_id from send))`;
}

/** The CTE `send`: all messages of a CTE `fresh`. A repeat fails the statement. */
export function insertAllSends(windowSeconds: number): RawBuilder<unknown> {
  return sql`send as (${insertSends(windowSeconds, sql`fresh`)})`;
}

function insertSends(windowSeconds: number, from: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`insert into sends (tenant, owner, message_id, request_hash, task_id, turn, expires_at)
      select tenant, owner, message_id, request_hash, task_id, 1, now() + ${seconds(windowSeconds)} from ${from}`;
}
