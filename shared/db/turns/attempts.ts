/**
 * The attempts to run turns, for the timeline of a task. An attempt that runs is in the gate, with its worker and its
 * start. When it ends, the statement that ends it writes one row:
 *
 *   ends or releases the turn ─▶ the write of the turn (insertEndedAttempts)
 *   its lease runs out        ─▶ the next claim (insertCrashedAttempts)
 *   … but its worker lives    ─▶ changed to `stalled`, which does not count (forgiveStalls)
 *   it completes its task, or
 *   its task ends under it    ─▶ no row: the gate of an ended task keeps the worker and never changes
 */
import { sql, type RawBuilder } from 'kysely';
import type { AttemptOutcome } from '../../domain/task.ts';
import type { Db } from '../client/pool.ts';
import { int, rows, uuid } from '../client/rows.ts';
import { isRunnable, type Lease } from './leases.ts';

/** Maximum length of a stored error. The last error of a task is stored in full. */
export const maxErrorChars = 1_000;

/** The fields of TurnEnd and TurnRelease (write.ts) that distinguish outcomes. */
type Finish =
  | { kind: 'end' }
  | {
      kind: 'release';
      countAttempt: boolean;
      partnerFailed?: boolean;
      untried?: boolean;
      signals?: number;
      error: string | null;
    };

export function getAttemptOutcome(finish: Finish): AttemptOutcome {
  if (finish.kind === 'end') return 'finished';
  if (finish.untried === true) return 'postponed';
  if (finish.partnerFailed === true) return 'partner_failed';
  if (finish.countAttempt) return 'failed';
  if (finish.signals !== undefined) return 'waiting';
  return finish.error === null ? 'stopped' : 'parked';
}

/** For the write of turns, from its CTE `gate`, whose `fence` is that of the lease. */
export const insertEndedAttempts: RawBuilder<unknown> = sql`
    attempt as (
      insert into turn_attempts (task_id, fence, turn, worker, started_at, ended_at, outcome, error)
      select task_id, fence, own_turn, worker, claimed_at, now(), outcome,
        -- An encrypted error cannot be cut here: its readers do.
        case when starts_with(error, 'enc:') then error else left(error, ${sql.lit(maxErrorChars)}) end
      from gate where outcome is not null and worker is not null and claimed_at is not null
    )`;

/** For claims, from their CTE `gate`, whose `last_…` columns are those of the claim before. */
export const insertCrashedAttempts: RawBuilder<unknown> = sql`
    attempt as (
      insert into turn_attempts (task_id, fence, turn, worker, started_at, ended_at, outcome)
      select gate.task_id, gate.fence - 1, gate.turn, last_worker, last_claimed_at,
        greatest(last_lease_until, (
          select l.lease_until from extended_leases l
          where l.task_id = gate.task_id and l.fence = gate.fence - 1
        )), 'crashed'
      from gate where crashed and last_worker is not null and last_claimed_at is not null
    )`;

/** Maximum number of stalls per turn that are not counted as crashes. */
const maxForgiven = 20;

/**
 * Stops counting attempts as crashes if their workers were only paused for longer than their leases. Skips turns that
 * another transaction has locked.
 *
 * @param lost leases that other workers have taken over
 */
export async function forgiveStalls(db: Db, lost: readonly Lease[]): Promise<void> {
  await sql`
    with lost as (${rows('lost', lost, {
      task_id: uuid((lease) => lease.taskId),
      turn: int((lease) => lease.turn),
      fence: int((lease) => lease.fence),
    })}),
    unlocked as (
      select g.task_id, lost.fence from lost join gates g on g.task_id = lost.task_id and g.turn = lost.turn
      where ${isRunnable} order by g.task_id for no key update of g skip locked
    ),
    stalled as (
      update turn_attempts a set outcome = 'stalled' from unlocked
      where a.task_id = unlocked.task_id and a.fence = unlocked.fence and a.outcome = 'crashed' and ${sql.lit(maxForgiven)} > (
        select count(*) from turn_attempts s where s.task_id = a.task_id and s.turn = a.turn and s.outcome = 'stalled'
      )
      returning a.task_id
    )
    update gates g set attempts = greatest(g.attempts - 1, 1) from stalled where g.task_id = stalled.task_id`.execute(
    db,
  );
}
