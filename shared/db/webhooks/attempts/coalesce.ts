/**
 * Merges deliveries that wait behind a failed attempt of an ordered config. Between two changes of state,
 * only the last progress event is sent, and the chunks of an artifact become one. The delivery of the last
 * event stays pending, and its `merged_from` is the first event that it includes; the others become `merged`.
 * Deliveries that may have been sent already are left alone.
 */
import { sql, type RawBuilder } from 'kysely';
import { isPending } from '../pending.ts';

/**
 * The CTE `merged`, for the statement that settles the attempts. An attempt whose fence was current kept all other
 * claims away from its queue, so that the deliveries behind it are as the statement saw them when it started.
 *
 * @param configs a FROM item with the columns `task_id, config_id`: configs that are ordered, get all events, and are locked
 */
export function mergeWaiting(configs: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    -- span: the number of state changes so far. Events between two state changes may be merged.
    waiting as (
      select d.task_id, d.config_id, d.seq, coalesce(d.merged_from, d.seq) as first, e.kind, e.artifact_id,
        count(*) filter (where e.kind = 'state') over (partition by d.task_id, d.config_id order by d.seq) as span
      from ${configs} queue join deliveries d on d.task_id = queue.task_id and d.config_id = queue.config_id
      join events e on e.task_id = d.task_id and e.seq = d.seq
      where ${isPending} and d.attempts = 0
    ),
    -- first, last: the events that may be merged with this one.
    alike as (
      select task_id, config_id, seq, min(first) over alike as first, max(seq) over alike as last
      from waiting where kind <> 'state'
      window alike as (partition by task_id, config_id, span, kind, artifact_id)
    ),
    merged as (
      update deliveries d set
        state = case when d.seq = alike.last then d.state else 'merged' end,
        settled_at = case when d.seq = alike.last then null else now() end,
        merged_from = case when d.seq = alike.last then alike.first end
      from alike
      where d.task_id = alike.task_id and d.config_id = alike.config_id and d.seq = alike.seq
        and ${isPending} and d.attempts = 0 and alike.first < alike.last
    )`;
}
