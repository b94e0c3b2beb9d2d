/**
 * Ends tasks that are overdue: past their deadline, or waiting for their caller for too long. They end as failed, with
 * the reason; their webhooks are told. Safe from many processes at once.
 */
import { sql } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import { toWakeups, type WakeupColumns } from '../outbox/outbox.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import { gateWakeups, deliveriesOf, deliveryWakeups, notifyFollowers } from '../events/fan-out.ts';
import type { Overdue } from '../outbox/reconcile.ts';

export async function expireTasks(
  db: Db,
  options: { limit: number; wakeupGraceSeconds: number; interruptedExpirySeconds: number },
): Promise<Overdue> {
  const now = new Date().toISOString();
  // A webhook config made at this very moment is seen on the next look (see the join on seen in turns.ts).
  const { rows } = await sql<{ task_id: string } & WakeupColumns>`
    with past_deadline as (
      select task_id from gates where deadline_at < now() and state_class < ${stateClass.terminal}
      order by deadline_at limit ${options.limit} for update skip locked
    ),
    unanswered as (
      select task_id from gates
      where state_class = ${stateClass.interrupted}
        and wakeup_at < now() - ${options.interruptedExpirySeconds} * interval '1 second'
      order by wakeup_at limit ${options.limit} for update skip locked
    ),
    late as (
      select task_id from past_deadline union select task_id from unanswered
    ),
    gate as (
      update gates g set fence = g.fence + 1, last_event = g.last_event + 1, state_class = ${stateClass.terminal},
        lease_until = null, worker = null, wakeup_at = now()
      from late join gates seen on seen.task_id = late.task_id
      where g.task_id = late.task_id and g.state_class < ${stateClass.terminal} and g.config_rev = seen.config_rev
      returning g.task_id, g.last_event, g.config_rev, coalesce(g.deadline_at < now(), false) as past_deadline
    ),
    told as (
      select gate.*, t.context_id, json_build_object(
        'messageId', gen_random_uuid(), 'role', 'ROLE_AGENT', 'taskId', gate.task_id, 'contextId', t.context_id,
        'parts', json_build_array(json_build_object('text', case
          when past_deadline then 'The deadline of this task has passed before it was done.'
          else 'This task waited for its caller for too long.' end))
      ) as message
      from gate join tasks t on t.id = gate.task_id
    ),
    task as (
      update tasks t set state = 'TASK_STATE_FAILED', status_at = ${now}::timestamptz, status_message = told.message,
        last_error = 'overdue'
      from told where t.id = told.task_id
    ),
    new_event as (
      select task_id, last_event as seq, 'state' as kind, true as settles, config_rev,
        json_build_object('statusUpdate', json_build_object(
          'taskId', task_id, 'contextId', context_id,
          'status', json_build_object('state', 'TASK_STATE_FAILED', 'timestamp', ${now}::text, 'message', message)
        )) as payload
      from told
    ),
    event as (
      insert into events (task_id, seq, kind, payload) select task_id, seq, kind, payload from new_event
    ),
    ${deliveriesOf(options.wakeupGraceSeconds)},
    ${deliveryWakeups}
    select gate.task_id, ${gateWakeups},
      ${notifyFollowers}
    from gate`.execute(db);
  const wakeups: Wakeup[] = rows.flatMap((row) => toWakeups(row, row.task_id, 0, null));
  return { wakeups, looked: rows.length };
}
