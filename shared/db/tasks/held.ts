/** Why a task does not run now, and what it says: the parts of a summary that other tables have, or that are cut. */
import { sql, type RawBuilder } from 'kysely';
import { textOf, type Message } from '../../domain/message.ts';
import { getStateClass, stateClass, taskStates } from '../../domain/task.ts';
import { maxStatusTextChars } from '../../domain/views.ts';
import { isoTime } from '../client/fragments.ts';
import { openJson } from '../contents/codec.ts';
import { isFree } from '../turns/leases.ts';

const runnable = taskStates.filter((state) => getStateClass(state) === stateClass.runnable);

/** The reason why task `t` is held back, as JSON; null if it runs, may run, waits for its user or has ended. */
export const heldJson: RawBuilder<unknown> = sql`case when t.state in (${sql.join(runnable.map((state) => sql.lit(state)))}) then (
        select case
          when not ${isFree} then null
          when queued.task_id is not null then json_build_object('since', ${isoTime(sql`queued.queued_at`)},
            'reason', case when queue.limited_until > now() then 'owner_limit' else 'owner_share' end)
          when version.task_id is not null then json_build_object('since', ${isoTime(sql`version.queued_at`)},
            'reason', 'agent_version')
          when g.run_at > now() then json_build_object('until', ${isoTime(sql`g.run_at`)}, 'reason', coalesce((
            select a.outcome from turn_attempts a where a.task_id = t.id and a.turn = g.turn order by a.fence desc limit 1
          ), 'start_time'))
        end
        from gates g
        left join queued_turns queued on queued.task_id = g.task_id
        left join turn_queues queue on queue.owner = queued.owner
        left join version_queue version on version.task_id = g.task_id
        where g.task_id = t.id
      ) end`;

/** A larger message is not read for its first characters. */
const maxReadBytes = 64 * 1024;

/** The status message of task `t`, apart from other JSON: PostgreSQL cannot parse `\u0000`. */
export const shortStatusMessage: RawBuilder<unknown> = sql`case
        when octet_length(t.status_message::text) <= ${sql.lit(maxReadBytes)} then t.status_message
      end`;

/** @param message as it was read by `shortStatusMessage` */
export async function readStatusText(
  taskId: string,
  message: Message | null,
): Promise<{ statusText?: string }> {
  if (message === null) return {};
  const text = textOf((await openJson('message', taskId, message)).parts);
  if (text === '') return {};
  // Without half of a surrogate pair at its end.
  return { statusText: text.slice(0, maxStatusTextChars).replace(/[\uD800-\uDBFF]$/, '') };
}
