/**
 * The ends of children and of parents, within the statements that end tasks:
 *
 *   a child ends ──▶ counted in its group ──as many as needed have ended──▶ signal_at ──▶ the parent is woken (signal.ts)
 *   a parent ends ──▶ ended_parents ──▶ its open children are canceled (cancel.ts)
 *
 * These statements hold gates and wait for groups, in the order of the ids. Nothing waits for a gate while it holds a
 * group, so that the end of a child never waits for its parent.
 */
import { sql, type RawBuilder } from 'kysely';
import { fewRows } from '../client/fragments.ts';

/** Columns of a task `t` for `countEnds`, in the RETURNING clause of its update. */
export const familyColumns = sql`t.child_group, t.children is not null as is_parent`;

/**
 * Counts ended children in their groups, and queues ended parents. A trailing comma follows the CTEs.
 *
 * @param ended rows with `task_id` and the columns of `familyColumns`
 * @param count how many there are at most
 */
export function countEnds(ended: RawBuilder<unknown>, count: number): RawBuilder<unknown> {
  return sql`
    ended_parent as (
      insert into ended_parents (task_id) select task_id from ${ended} where is_parent on conflict do nothing
    ),
    ended_child as (
      select cg.id, counted.ended from (
        select child_group, count(*)::int as ended from ${ended} where child_group is not null group by child_group
        ${fewRows(count)}
      ) counted
      join child_groups cg on cg.id = counted.child_group order by cg.id for no key update of cg
    ),
    child_group as (
      update child_groups cg set
        ended = cg.ended + ended_child.ended,
        needed = case when cg.ended + ended_child.ended < cg.needed then cg.needed end,
        signal_at = case when cg.ended + ended_child.ended >= cg.needed then now() else cg.signal_at end
      from ended_child where cg.id = ended_child.id
      returning cg.id, cg.signal_at
    ),`;
}

/** Selects the ids of the groups whose parents must be woken, as `SignaledColumn`. */
export const signaledGroups = sql`(
      select array_agg(id) from child_group where signal_at = now()
    ) as signaled_groups`;

export interface SignaledColumn {
  signaled_groups: string[] | null;
}
