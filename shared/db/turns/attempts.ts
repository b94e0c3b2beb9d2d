/**
 * The attempts to run turns, for the timeline of a task. An attempt that runs is in the gate, with its worker and its
 * start. When it ends, the statement that ends it writes one row, which never changes:
 *
 *   ends or releases the turn ─▶ the write of the turn (insertEndedAttempts)
 *   its lease runs out        ─▶ the next claim (insertCrashedAttempts)
 *   it completes its task, or
 *   its task ends under it    ─▶ no row: the gate of an ended task keeps the worker and never changes
 */
import { sql, type RawBuilder } from 'kysely';
import type { AttemptOutcome } from '../../domain/task.ts';

/** Maximum length of a stored error. The last error of a task is stored in full. */
const maxErrorChars = 1_000;

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
      select task_id, fence, own_turn, worker, claimed_at, now(), outcome, left(error, ${sql.lit(maxErrorChars)})
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
