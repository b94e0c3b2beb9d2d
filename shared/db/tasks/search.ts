/**
 * Searches a caller's tasks in pages, newest status first (invariant 9). State and time of the status are in the index
 * that lists use. Other conditions are checked on the newest tasks of a page, and the next page continues after the last
 * task that was checked, so that a search for something rare costs no more than others.
 */
import { sql, type RawBuilder } from 'kysely';
import { taskStates, type TaskState } from '../../domain/task.ts';
import type { TaskSummary } from '../../domain/views.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { selectNewest, type ListCursor } from './list.ts';
import { visibleTo, type Caller } from './visibility.ts';

/** Tasks that one page examines. */
const maxExamined = 1_000;

export interface SearchFilter {
  states?: readonly TaskState[] | undefined;
  statusSince?: Date | undefined;
  statusBefore?: Date | undefined;
  createdSince?: Date | undefined;
  createdBefore?: Date | undefined;
  /** The hash of the agent definition. */
  agent?: string | undefined;
  /** A key of the metadata with which the task was created. */
  metadataKey?: string | undefined;
  /** A part of the last error, in any case. */
  error?: string | undefined;
  /** Tasks with a webhook whose last attempt failed, or that is disabled. */
  webhook?: 'failing' | 'disabled' | undefined;
}

export type SearchCursor = Pick<ListCursor, 'statusAt' | 'id'>;

export interface SearchResult {
  tasks: TaskSummary[];
  next: SearchCursor | undefined;
}

export async function searchTasks(
  db: Db,
  caller: Caller,
  filter: SearchFilter,
  {
    size,
    after,
    examine = maxExamined,
  }: { size: number; after?: SearchCursor | undefined; examine?: number },
): Promise<SearchResult> {
  const indexed = sql`${visibleTo(caller)}
    ${filter.statusSince === undefined ? sql`` : sql`and t.status_at >= ${filter.statusSince}`}
    ${filter.statusBefore === undefined ? sql`` : sql`and t.status_at < ${filter.statusBefore}`}`;
  const newest = selectNewest(filter.states ?? taskStates, indexed, examine, after && { ...after, total: 0 });
  const { rows } = await sql<{
    examined: number;
    last_at: string;
    last_id: string;
    found_at: string | null;
    task: TaskSummary;
  }>`
    with newest as materialized (${newest})
    select last.*, found.found_at, found.task
    from (
      select (select count(*)::int from newest) as examined, status_at::text as last_at, id as last_id
      from newest order by status_at, id limit 1
    ) last
    left join lateral (
      select n.status_at, n.id, n.status_at::text as found_at, json_strip_nulls(json_build_object(
        'taskId', t.id, 'contextId', t.context_id, 'state', t.state, 'createdAt', ${isoTime(sql`t.created_at`)},
        'statusAt', ${isoTime(sql`t.status_at`)}, 'agent', t.agent_hash, 'lastError', t.last_error, 'usage', t.usage,
        'webhook', (
          select case when count(c.disabled_at) > 0 then 'disabled' when max(c.failures) > 0 then 'failing' end
          from webhook_configs c where c.task_id = t.id
        )
      )) as task
      from newest n join tasks t on t.id = n.id
      where true ${createConditions(filter)}
      order by n.status_at desc, n.id desc limit ${size + 1}
    ) found on true
    order by found.status_at desc, found.id desc`.execute(db);
  const found = rows.flatMap(({ found_at: at, task }) => (at === null ? [] : [{ at, task }]));
  const tasks = found.slice(0, size).map(({ task }) => task);
  const [row] = rows;
  const lastFound = found[size - 1];
  if (found.length > size && lastFound !== undefined) {
    return { tasks, next: { statusAt: lastFound.at, id: lastFound.task.taskId } };
  }
  const more = row !== undefined && row.examined === examine;
  return { tasks, next: more ? { statusAt: row.last_at, id: row.last_id } : undefined };
}

/** The conditions that no index serves, on a task `t`. */
function createConditions(filter: SearchFilter): RawBuilder<unknown> {
  const { createdSince, createdBefore, agent, metadataKey, error, webhook } = filter;
  const conditions = [
    createdSince && sql`t.created_at >= ${createdSince}`,
    createdBefore && sql`t.created_at < ${createdBefore}`,
    agent !== undefined && sql`t.agent_hash = ${agent}`,
    // PostgreSQL refuses to parse JSON that contains \u0000.
    metadataKey !== undefined &&
      sql`case when position('\\u0000' in t.metadata::text) = 0 then t.metadata -> ${metadataKey}::text is not null else false end`,
    error !== undefined && sql`position(lower(${error}) in lower(t.last_error)) > 0`,
    webhook !== undefined &&
      sql`exists (select from webhook_configs c where c.task_id = t.id and ${webhook === 'disabled' ? sql`c.disabled_at is not null` : sql`c.failures > 0`})`,
  ];
  return sql.join(
    conditions.flatMap((condition) => (condition ? [sql`and ${condition}`] : [])),
    sql` `,
  );
}
