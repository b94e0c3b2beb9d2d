/**
 * Calls that Google still stores after their tasks were removed (tasks/retention.ts), or that no task uses: their steps were
 * removed (reruns/restart.ts), or never recorded (turns/waits/model-waits.ts). Workers delete them there. A call that cannot be
 * deleted keeps its row, as the record of that.
 */
import { sql, type RawBuilder } from 'kysely';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';

/** Seconds that a worker has for a call that it has claimed. */
const claimSeconds = 300;
const claimLimit = 50;
/** The first retry comes after so many seconds, later ones each after twice as long. */
const firstRetrySeconds = 60;
/** Then the call is left to Google's own retention: the tries have taken about 17 hours. */
const maxAttempts = 10;

/**
 * The CTE `stored_calls`, which remembers the calls of removed steps.
 *
 * @param removed a CTE of rows (interaction) of steps
 */
export function rememberStoredCalls(removed: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    stored_calls as (
      insert into stored_calls (interaction)
      select distinct interaction from ${removed} removed_steps where interaction is not null
      on conflict do nothing
    )`;
}

export interface StoredCall {
  interaction: string;
  /** How often its deletion has been tried, with this try. */
  attempts: number;
}

/** Returns calls to delete now, which no other worker tries meanwhile. */
export async function claimStoredCalls(db: Db): Promise<StoredCall[]> {
  const { rows } = await sql<StoredCall>`
    update stored_calls s set attempts = s.attempts + 1, next_at = now() + ${seconds(claimSeconds)}
    from (
      select interaction from stored_calls where next_at <= now() order by next_at limit ${sql.lit(claimLimit)}
      for update skip locked
    ) due
    where s.interaction = due.interaction
    returning s.interaction, s.attempts`.execute(db);
  return rows;
}

/** Google no longer has the call. */
export async function forgetStoredCall(db: Db, { interaction }: StoredCall): Promise<void> {
  await db.deleteFrom('stored_calls').where('interaction', '=', interaction).execute();
}

/** @returns whether it is tried again */
export async function recordUndeleted(
  db: Db,
  { interaction, attempts }: StoredCall,
  error: string,
): Promise<boolean> {
  const again = attempts < maxAttempts;
  const delay = firstRetrySeconds * 2 ** (attempts - 1);
  await sql`
    update stored_calls set error = ${error}, next_at = ${again ? sql`now() + ${seconds(delay)}` : null}
    where interaction = ${interaction}`.execute(db);
  return again;
}

export interface UndeletedCall {
  interaction: string;
  removedAt: Date;
  attempts: number;
  error: string | null;
  /** Null: it is not tried again. */
  nextAt: Date | null;
}

/** Returns the calls that Google still stores after a failed try, oldest first. */
export async function listUndeletedCalls(db: Db, limit: number): Promise<UndeletedCall[]> {
  const { rows } = await sql<UndeletedCall>`
    select interaction, removed_at as "removedAt", attempts, error, next_at as "nextAt" from stored_calls
    where error is not null order by removed_at limit ${limit}`.execute(db);
  return rows;
}
