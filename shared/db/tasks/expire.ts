/**
 * Fails tasks that are past their deadline or have been interrupted for too long. The status message gives
 * the reason, and webhooks report it. Safe in many processes at once.
 */
import { sql, type RawBuilder } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import { endCalls } from '../calls/abandoned.ts';
import { countEnds, familyColumns, signaledGroups, type SignaledColumn } from '../children/end.ts';
import { signalParents } from '../children/signal.ts';
import { isoTime, nextStatusAt, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { insertDeliveries, insertDeliveryWakeups, notifyListeners } from '../events/fan-out.ts';
import { gateWakeupColumns, toWakeups, type WakeupColumns } from '../outbox/outbox.ts';
import type { Reconciled } from '../outbox/reconcile.ts';

const interrupted = sql.lit(stateClass.interrupted);
const terminal = sql.lit(stateClass.terminal);

interface Options {
  limit: number;
  wakeupGraceSeconds: number;
  interruptedExpirySeconds: number;
}

/** Gates that may be past their deadline. */
export const pastDeadline = sql`gates where deadline_at < now() and state_class < ${terminal} order by deadline_at`;

/** Gates of tasks that have waited too long for their callers. */
export const unanswered = (expirySeconds: number) => sql`
      gates where state_class = ${interrupted} and settled_at < now() - ${seconds(expirySeconds)} order by settled_at`;

export async function expireTasks(db: Db, options: Options): Promise<Reconciled> {
  const { rows } = await sql<{ task_id: string } & WakeupColumns & SignaledColumn>`
    with ${expireGates(options)},
    failure as (
      select gate.*, t.context_id, ${failureMessage} as message from gate join tasks t on t.id = gate.task_id
    ),
    task as (
      update tasks t set state = 'TASK_STATE_FAILED', status_at = ${nextStatusAt(sql`t.status_at`)},
        status_message = failure.message, last_error = 'expired'
      from failure where t.id = failure.task_id
      returning failure.*, t.status_at, ${familyColumns}
    ),
    ${endCalls(sql`task`)}
    ${countEnds(sql`task`, 2 * options.limit)}
    new_event as (
      select task_id, last_event as seq, 'state' as kind, true as settles, config_rev,
        json_build_object('statusUpdate', json_build_object(
          'taskId', task_id, 'contextId', context_id,
          'status', json_build_object('state', 'TASK_STATE_FAILED', 'timestamp', ${isoTime(sql`status_at`)}, 'message', message)
        )) as payload
      from task
    ),
    event as (
      insert into events (task_id, seq, kind, payload) select task_id, seq, kind, payload from new_event
    ),
    ${insertDeliveries(options.wakeupGraceSeconds)},
    ${insertDeliveryWakeups}
    select gate.task_id, ${gateWakeupColumns}, ${signaledGroups}, ${notifyListeners}
    from gate`.execute(db);
  const parents = await signalParents(db, options, rows[0]?.signaled_groups ?? []);
  const wakeups = rows.flatMap((row) => toWakeups(row, row.task_id, 0, null));
  return { wakeups: [...wakeups, ...parents], examined: rows.length };
}

/**
 * Ends expired gates, as the CTE `gate`. A gate whose webhook configs change at the same time is left for the
 * next pass, because the statement does not see the new configs (`seen`, see turns/write-fragments.ts). The worker
 * stays, as that of the attempt which ends here (turns/attempts.ts).
 */
function expireGates({ limit, interruptedExpirySeconds }: Options): RawBuilder<unknown> {
  return sql`
    past_deadline as (
      select task_id from ${pastDeadline} limit ${limit} for update skip locked
    ),
    unanswered as (
      select task_id from ${unanswered(interruptedExpirySeconds)} limit ${limit} for update skip locked
    ),
    expired as (
      select task_id from past_deadline union select task_id from unanswered
    ),
    gate as (
      update gates g set fence = g.fence + 1, last_event = g.last_event + 1, state_class = ${terminal},
        settled_at = now(), lease_until = null
      from expired join gates seen on seen.task_id = expired.task_id
      where g.task_id = expired.task_id and g.state_class < ${terminal} and g.config_rev = seen.config_rev
      returning g.task_id, g.turn, g.last_event, g.config_rev, coalesce(g.deadline_at < now(), false) as past_deadline
    )`;
}

/** The status message of an expired `gate` and its task `t`. */
const failureMessage = sql`json_build_object(
        'messageId', gen_random_uuid(), 'role', 'ROLE_AGENT', 'taskId', gate.task_id, 'contextId', t.context_id,
        'parts', json_build_array(json_build_object('text', case
          when past_deadline then 'The task missed its deadline.'
          else 'The task waited too long for its caller.' end))
      )`;
