/**
 * Searches a caller's tasks in pages, newest status first (invariant 9). State and time of the status are in the index
 * that lists use. Other conditions are checked on the newest tasks of a page, and the next page continues after the last
 * task that was checked, so that a search for something rare costs no more than others.
 */
import { sql, type RawBuilder } from 'kysely';
import type { Message } from '../../domain/message.ts';
import { taskStates, type TaskState } from '../../domain/task.ts';
import type { TaskSummary } from '../../domain/views.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { openText } from '../contents/codec.ts';
import type { Database } from '../schema/schema.ts';
import { heldJson, readStatusText, shortStatusMessage } from './held.ts';
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
  const { columns, conditions } = createConditions(filter);
  // Without further conditions, the page has the first tasks.
  const most = conditions.length === 0 ? Math.min(examine, size + 1) : examine;
  const newest = selectNewest(filter.states ?? taskStates, indexed, most, after, columns);
  const { rows } = await sql<{
    examined: number;
    last_at: string;
    last_id: string;
    found_at: string | null;
    task: TaskSummary;
    status_message: Message | null;
  }>`
    with newest as materialized (${newest}),
    found as (
      select * from newest n where ${conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `)}
      order by n.status_at desc, n.id desc limit ${size + 1}
    )
    select (select count(*)::int from newest) as examined, last.status_at::text as last_at, last.id as last_id,
      found.status_at::text as found_at, read.task, read.status_message
    from (select status_at, id from newest order by status_at, id limit 1) last
    left join found on true
    -- The limit makes the planner look up each task by its id.
    left join lateral (
      select ${shortStatusMessage} as status_message, json_strip_nulls(json_build_object(
        'taskId', t.id, 'contextId', t.context_id, 'state', t.state, 'createdAt', ${isoTime(sql`t.created_at`)},
        'statusAt', ${isoTime(sql`t.status_at`)}, 'agent', t.agent_hash, 'lastError', t.last_error, 'usage', t.usage,
        'held', ${heldJson}, 'webhook', (
          select case when count(c.disabled_at) > 0 then 'disabled' when max(c.failures) > 0 then 'failing' end
          from webhook_configs c where c.task_id = t.id
        )
      )) as task
      from tasks t where t.id = found.id limit 1
    ) read on true
    order by found.status_at desc, found.id desc`.execute(db);
  const found = rows.flatMap(({ found_at: at, ...row }) => (at === null ? [] : [{ at, ...row }]));
  const tasks = await Promise.all(found.slice(0, size).map(openSummary));
  const [row] = rows;
  const lastFound = found[size - 1];
  if (found.length > size && lastFound !== undefined) {
    return { tasks, next: { statusAt: lastFound.at, id: lastFound.task.taskId } };
  }
  const more = row !== undefined && row.examined === most;
  return { tasks, next: more ? { statusAt: row.last_at, id: row.last_id } : undefined };
}

async function openSummary(row: { task: TaskSummary; status_message: Message | null }): Promise<TaskSummary> {
  const { task, status_message: message } = row;
  const { taskId, lastError } = task;
  return {
    ...task,
    ...(lastError !== undefined && { lastError: await openText('error', taskId, lastError) }),
    ...(await readStatusText(taskId, message)),
  };
}

type TaskColumn = keyof Database['tasks'];

/** The conditions that no index serves, on a row `n` that has these columns of its task. */
function createConditions(filter: SearchFilter): {
  columns: TaskColumn[];
  conditions: RawBuilder<unknown>[];
} {
  const { createdSince, createdBefore, agent, metadataKey, error, webhook } = filter;
  const columns = new Set<TaskColumn>();
  const conditions: RawBuilder<unknown>[] = [];
  const add = (column: TaskColumn, condition: RawBuilder<unknown>): void => {
    columns.add(column);
    conditions.push(condition);
  };
  if (createdSince !== undefined) add('created_at', sql`n.created_at >= ${createdSince}`);
  if (createdBefore !== undefined) add('created_at', sql`n.created_at < ${createdBefore}`);
  if (agent !== undefined) add('agent_hash', sql`n.agent_hash = ${agent}`);
  if (metadataKey !== undefined) {
    // PostgreSQL refuses to parse JSON that contains \u0000.
    const parses = sql`position('\\u0000' in n.metadata::text) = 0`;
    add(
      'metadata',
      sql`case when ${parses} then n.metadata -> ${metadataKey}::text is not null else false end`,
    );
  }
  if (error !== undefined) add('last_error', sql`position(lower(${error}) in lower(n.last_error)) > 0`);
  if (webhook !== undefined) {
    const matches = webhook === 'disabled' ? sql`c.disabled_at is not null` : sql`c.failures > 0`;
    conditions.push(sql`exists (select from webhook_configs c where c.task_id = n.id and ${matches})`);
  }
  return { columns: [...columns], conditions };
}
