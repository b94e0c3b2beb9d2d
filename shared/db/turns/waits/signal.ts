/** The part of an update of a gate `g` that ends a wait of its turn (worker/turn/waits.ts). */
import { sql, type RawBuilder } from 'kysely';
import { seconds } from '../../client/fragments.ts';

/**
 * Assignments: a turn that no worker runs may start now. A worker that runs it finds the count of signals raised when it
 * puts the turn back. Return `isReleased` with the row, and write a wake-up if it is true.
 */
export function signalTurn(wakeupGraceSeconds: number): RawBuilder<unknown> {
  return sql`signals = g.signals + 1,
        run_at = case when g.lease_until is null then least(g.run_at, now()) else g.run_at end,
        wakeup_at = case
          when g.lease_until is null then now() + ${seconds(wakeupGraceSeconds)} else g.wakeup_at end`;
}

/** Whether no worker runs the turn, as the column `is_free`. */
export const isReleased = sql`g.lease_until is null as is_free`;
