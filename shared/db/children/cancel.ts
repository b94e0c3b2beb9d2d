/** Cancels the open children of tasks that have ended. Their own children follow, because they end too. */
import { sql } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import { endCalls } from '../calls/abandoned.ts';
import { nextStatusAt } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { notifyListeners } from '../events/fan-out.ts';
import { gateWakeupColumns, toWakeups, type WakeupColumns } from '../outbox/outbox.ts';
import type { Reconciled } from '../outbox/reconcile.ts';
import { insertStateEvent } from '../tasks/state-event.ts';

/** Maximum number of statements in one pass. */
const maxStatements = 100;

/** Parents that have ended, whose children may be open. */
export const endedParents = sql`ended_parents order by task_id`;

/**
 * Handles ended parents one after the other, and up to `limit` children in one statement. A parent stays queued until none
 * of its children is open. Safe in many processes at once.
 */
export async function cancelOrphans(
  db: Db,
  options: { limit: number; wakeupGraceSeconds: number },
): Promise<Reconciled> {
  const wakeups: Reconciled['wakeups'] = [];
  let examined = 0;
  for (let count = 0; count < maxStatements; count++) {
    const { found, isDone, canceled } = await cancelChildren(db, options);
    if (!found) break;
    wakeups.push(...canceled.flatMap((row) => toWakeups(row, row.task_id, 0, null)));
    examined += canceled.length;
    // A child is locked, or has just ended. The next pass looks again.
    if (!isDone && canceled.length === 0) break;
    if (count === maxStatements - 1) examined = Math.max(examined, options.limit);
  }
  return { wakeups, examined };
}

type Canceled = { task_id: string } & WakeupColumns;
type Row = { found: boolean; isDone: boolean } & (Canceled | { task_id: null });

async function cancelChildren(
  db: Db,
  options: { limit: number; wakeupGraceSeconds: number },
): Promise<{ found: boolean; isDone: boolean; canceled: Canceled[] }> {
  const { rows } = await sql<Row>`
    with parent as (
      select task_id from ${endedParents} limit 1 for update skip locked
    ),
    open as materialized (
      select t.id as task_id from parent join child_groups cg on cg.parent_id = parent.task_id
      join tasks t on t.child_group = cg.id
        and t.state not in ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', 'TASK_STATE_CANCELED', 'TASK_STATE_REJECTED')
      limit ${options.limit}
    ),
    unlocked as (
      select g.task_id from open join gates g on g.task_id = open.task_id
      where g.state_class < ${stateClass.terminal} for no key update of g skip locked
    ),
    gate as (
      update gates g set fence = g.fence + 1, last_event = g.last_event + 1, state_class = ${stateClass.terminal},
        settled_at = now(), lease_until = null
      from unlocked join gates seen on seen.task_id = unlocked.task_id
      where g.task_id = unlocked.task_id and g.state_class < ${stateClass.terminal} and g.config_rev = seen.config_rev
      returning g.task_id, g.turn, g.last_event, g.config_rev
    ),
    task as (
      update tasks t set state = 'TASK_STATE_CANCELED', status_at = ${nextStatusAt(sql`t.status_at`)},
        status_message = null
      from gate where t.id = gate.task_id
      returning gate.*, t.context_id, t.state, t.status_at, t.children is not null as is_parent
    ),
    ${endCalls(sql`task`)}
    ended_parent as (
      insert into ended_parents (task_id) select task_id from task where is_parent on conflict do nothing
    ),
    ${insertStateEvent(options, { from: sql`task`, settles: true, traceparent: null })},
    done as (
      delete from ended_parents p using parent
      where p.task_id = parent.task_id and (select count(*) from open) < ${options.limit}
        and (select count(*) from open) = (select count(*) from gate)
      returning p.task_id
    )
    -- Returns one row with a null task if no child was canceled.
    select exists (select from parent) as found, exists (select from done) as "isDone", canceled.*
    from (select) single_row left join (
      select gate.task_id, ${gateWakeupColumns}, ${notifyListeners} from gate
    ) canceled on true`.execute(db);
  const [first] = rows;
  const canceled = rows.filter((row): row is Row & Canceled => row.task_id !== null);
  return { found: first?.found ?? false, isDone: first?.isDone ?? false, canceled };
}
