/**
 * Turns that have waited a minute for a worker that runs their version of the agent: the status of their tasks says
 * so, once. Turns that no longer wait leave the queue.
 */
import { sql } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { isoTime, nextStatusAt, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { insertDeliveries, insertDeliveryWakeups, notifyListeners } from '../events/fan-out.ts';
import { gateWakeupColumns, toWakeups, type WakeupColumns } from '../outbox/outbox.ts';
import type { Reconciled } from '../outbox/reconcile.ts';
import { isFree, isRunnable } from '../turns/leases.ts';
import { checkSeconds } from './versions.ts';

/** Turns in the queue for their version that are due for a look. */
export const unservedTurns = sql`version_queue where check_at < now() order by check_at`;

/** @param options.limit maximum number of turns that are looked at */
export async function reportUnservedTurns(
  db: Db,
  options: { limit: number; wakeupGraceSeconds: number },
): Promise<Reconciled> {
  const { rows } = await sql<{ examined: number; task_id: string | null } & WakeupColumns>`
    with due as (
      select task_id from ${unservedTurns} limit ${options.limit}
    ),
    -- The gate is locked before its turn in the queue. A webhook config that was created since the statement started is not
    -- visible to it: then the gate has another revision than "seen".
    unlocked as (
      select g.task_id, ${isRunnable} and g.run_at <= now() and g.agent_version is not null and ${isFree} as waits
      from due join gates seen on seen.task_id = due.task_id join gates g on g.task_id = seen.task_id
      where g.config_rev = seen.config_rev for no key update of g skip locked
    ),
    gone as (
      delete from version_queue v using unlocked where v.task_id = unlocked.task_id and not waits
    ),
    checked as (
      update version_queue v set check_at = now() + ${seconds(checkSeconds)}, reported = true
      from unlocked join version_queue old on old.task_id = unlocked.task_id
      where v.task_id = unlocked.task_id and waits and v.check_at < now()
      returning v.task_id, v.agent_version, v.queued_at, old.reported
    ),
    gate as (
      update gates g set last_event = g.last_event + 1
      from checked where g.task_id = checked.task_id and not checked.reported
      returning g.task_id, g.last_event, g.config_rev, checked.agent_version, checked.queued_at
    ),
    task as (
      update tasks t set status_at = ${nextStatusAt(sql`t.status_at`)}, status_message = json_build_object(
        'messageId', gen_random_uuid(), 'role', 'ROLE_AGENT', 'taskId', t.id, 'contextId', t.context_id,
        'parts', json_build_array(json_build_object('text',
          'Waiting since ' || ${isoTime(sql`gate.queued_at`)} || ': no worker runs version "' || gate.agent_version
            || '" of the agent, with which this turn has started.'))
      )
      from gate where t.id = gate.task_id
      returning gate.task_id, gate.last_event, gate.config_rev, t.context_id, t.status_at, t.status_message, t.state
    ),
    new_event as (
      select task_id, last_event as seq, 'progress' as kind, false as settles, config_rev,
        json_build_object('statusUpdate', json_build_object(
          'taskId', task_id, 'contextId', context_id, 'status', json_build_object(
            'state', state, 'timestamp', ${isoTime(sql`status_at`)}, 'message', status_message)
        )) as payload
      from task
    ),
    event as (
      insert into events (task_id, seq, kind, payload) select task_id, seq, kind, payload from new_event
    ),
    ${insertDeliveries(options.wakeupGraceSeconds)},
    ${insertDeliveryWakeups}
    -- Returns one row with null columns if no status has changed.
    select (select count(*) from due)::int as examined, gate.task_id, ${gateWakeupColumns}, ${notifyListeners}
    from (select) single_row left join gate on true`.execute(db);
  const wakeups = rows.flatMap((row): Wakeup[] =>
    row.task_id === null ? [] : toWakeups(row, row.task_id, 0, null),
  );
  return { wakeups, examined: rows[0]?.examined ?? 0 };
}
