/** Reading tasks for their owners (invariant 9: owner and tenant stand in every query). */
import { sql } from 'kysely';
import { foldArtifacts, type EventPayload, type TaskStatus } from '../../domain/events.ts';
import { isUuid } from '../../domain/ids.ts';
import type { Artifact, JsonObject, Message } from '../../domain/message.ts';
import type { StateClass, TaskState } from '../../domain/task.ts';
import { usageMetadata, type Usage } from '../../domain/usage.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import { fewRows } from '../events/fan-out.ts';

/** Who asks. The owner is the authenticated caller; the tenant is empty where none is used. */
export interface Caller {
  tenant: string;
  owner: string;
}

/** A task as A2A 1.0 has it (section 4.1.1), in JSON form. */
export interface TaskView {
  id: string;
  contextId: string;
  status: TaskStatus;
  artifacts: Artifact[];
  history: Message[];
  metadata?: JsonObject;
}

export interface TaskSnapshot {
  task: TaskView;
  /** The number of the last event that the task contains. */
  lastEvent: number;
  /** How many have been recorded: what the task has used changes with them, without an event. */
  modelCalls: number;
  /** The present turn, and the last that a message has begun. */
  turn: number;
  lastTurn: number;
  /** The status message is the whole answer of the agent. */
  direct: boolean;
  /** A caller has been given the task as a Task; a direct answer that was not shown hides its task. */
  shown: boolean;
}

export interface TaskRow {
  id: string;
  context_id: string;
  state: TaskState;
  status_at: Date;
  status_message: Message | null;
  metadata: JsonObject | null;
  usage: Usage | null;
  direct: boolean;
  shown: boolean;
  last_event: number;
  turn: number;
  last_turn: number;
  history: Message[] | null;
  artifacts: Artifact[] | null;
  open_chunks: EventPayload[] | null;
}

export interface ReadOptions {
  /** Messages of history at most, the newest; undefined: all; 0: none (section 3.2.4). */
  historyLength?: number | undefined;
  includeArtifacts?: boolean;
  /** Also find a task that a direct answer hides. */
  includeHidden?: boolean;
}

export async function readTask(
  db: Db,
  caller: Caller,
  taskId: string,
  options: ReadOptions = {},
): Promise<TaskSnapshot | undefined> {
  const [found] = await readTasks(db, [{ caller, taskId, options }]);
  return found;
}

/**
 * That the task `t` found by its id is of the caller in `input`. As a test of truth, so that no index on owners can serve it:
 * a plan that is made while there are few tasks would take one, and go through all tasks of the owner for each read.
 */
const isCallers = sql`(t.tenant = input.tenant and t.owner = input.owner) is true`;

export interface Read {
  caller: Caller;
  taskId: string;
  options: ReadOptions;
}

export async function readTasks(db: Db, reads: readonly Read[]): Promise<(TaskSnapshot | undefined)[]> {
  const column = <T>(of: (read: Read) => T) => reads.map(of);
  const { rows } = await sql<TaskRow & { place: number }>`-- prepared
    select input.place::int, ${taskColumns}
    from (select * from unnest(
      ${column((read) => read.taskId)}::uuid[], ${column((read) => read.caller.tenant)}::text[],
      ${column((read) => read.caller.owner)}::text[], ${column(({ options }) => options.historyLength ?? null)}::int[],
      ${column(({ options }) => options.includeArtifacts ?? true)}::boolean[],
      ${column(({ options }) => options.includeHidden ?? false)}::boolean[]
    ) with ordinality as input (task_id, tenant, owner, history_length, include_artifacts, include_hidden, place)
      ${fewRows(reads.length)}) input
    join tasks t on t.id = input.task_id and ${isCallers}
    join gates g on g.task_id = t.id
    where t.shown or not t.direct or input.include_hidden`.execute(db);
  const found = new Map(rows.map((row) => [row.place, row]));
  return reads.map(({ options }, index) => {
    const row = found.get(index + 1);
    return row && toSnapshot(row, options);
  });
}

/** What changes with a task: enough to tell whether it has, without reading it. */
export interface TaskVersion {
  lastEvent: number;
  lastTurn: number;
  modelCalls: number;
  stateClass: StateClass;
}

export type ReadTaskVersion = (caller: Caller, taskId: string) => Promise<TaskVersion | undefined>;

/** In sets, like whole tasks. */
export function createVersionReader(db: Db): ReadTaskVersion {
  const read = createBatcher((reads: readonly Omit<Read, 'options'>[]) => readTaskVersions(db, reads), {
    max: 256,
  });
  return (caller, taskId) => read({ caller, taskId });
}

async function readTaskVersions(
  db: Db,
  reads: readonly Omit<Read, 'options'>[],
): Promise<(TaskVersion | undefined)[]> {
  const { rows } = await sql<TaskVersion & { place: number }>`-- prepared
    select input.place::int, g.last_event as "lastEvent", g.last_turn as "lastTurn",
      coalesce((t.usage ->> 'calls')::int, 0) as "modelCalls", g.state_class as "stateClass"
    from (select * from unnest(
      ${reads.map((read) => read.taskId)}::uuid[], ${reads.map((read) => read.caller.tenant)}::text[],
      ${reads.map((read) => read.caller.owner)}::text[]
    ) with ordinality as input (task_id, tenant, owner, place) ${fewRows(reads.length)}) input
    join tasks t on t.id = input.task_id and ${isCallers}
    join gates g on g.task_id = t.id
    where t.shown or not t.direct`.execute(db);
  const found: (TaskVersion | undefined)[] = reads.map(() => undefined);
  for (const row of rows) found[row.place - 1] = row;
  return found;
}

/** Marks that a caller is given the task as a Task, so that a direct answer can no longer hide it. */
export async function markShown(db: Db, taskId: string): Promise<void> {
  await db.updateTable('tasks').set({ shown: true }).where('id', '=', taskId).execute();
}

/** Of tasks `t`, gates `g`, and `input` with a history_length and include_artifacts. */
export const taskColumns = sql`t.id, t.context_id, t.state, t.status_at, t.status_message, t.metadata, t.usage, t.direct,
  t.shown,
  g.last_event, g.turn, g.last_turn,
  case when input.history_length is distinct from 0 then (
    select json_agg(h.message order by h.turn, h.role desc) from (
      select m.message, m.turn, m.role from messages m
      where m.task_id = t.id order by m.turn desc, m.role limit input.history_length::bigint + 1
    ) h
  ) end as history,
  case when input.include_artifacts then
    (select json_agg(a.artifact order by a.seq) from artifacts a where a.task_id = t.id) end as artifacts,
  case when input.include_artifacts then (
    select json_agg(e.payload order by e.seq) from events e
    where e.task_id = t.id and e.kind = 'artifact' and not exists (
      select 1 from artifacts a where a.task_id = e.task_id and a.artifact_id = e.artifact_id and a.seq >= e.seq
    )
  ) end as open_chunks`;

export function toSnapshot(row: TaskRow, { historyLength }: ReadOptions): TaskSnapshot {
  // The message of the present status is told there, and becomes history when the status changes.
  const history = (row.history ?? []).filter((one) => one.messageId !== row.status_message?.messageId);
  const chunks = (row.open_chunks ?? []).flatMap((payload) =>
    'artifactUpdate' in payload ? [payload.artifactUpdate] : [],
  );
  return {
    task: {
      id: row.id,
      contextId: row.context_id,
      status: {
        state: row.state,
        timestamp: row.status_at.toISOString(),
        ...(row.status_message !== null && { message: row.status_message }),
      },
      artifacts: foldArtifacts(chunks, row.artifacts ?? []),
      history: history.slice(historyLength === undefined ? 0 : Math.max(0, history.length - historyLength)),
      ...toMetadata(row),
    },
    lastEvent: row.last_event,
    modelCalls: row.usage?.calls ?? 0,
    turn: row.turn,
    lastTurn: row.last_turn,
    direct: row.direct,
    shown: row.shown,
  };
}

/** What came with the task, and what it has used so far. */
export function toMetadata(row: {
  metadata: JsonObject | null;
  usage: Usage | null;
}): Pick<TaskView, 'metadata'> {
  if (row.metadata === null && row.usage === null) return {};
  return { metadata: { ...row.metadata, ...(row.usage && usageMetadata(row.usage)) } };
}

/** The first of these ids that is not of a task of the caller's. */
export async function findMissing(
  db: Db,
  caller: Caller,
  ids: readonly string[],
): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    select id from tasks where id = any(${ids.filter(isUuid)}::uuid[])
      and tenant = ${caller.tenant} and owner = ${caller.owner} and (shown or not direct)`.execute(db);
  const found = new Set(rows.map((row) => row.id));
  return ids.find((id) => !found.has(id.toLowerCase()));
}

/** The task of an earlier send of the same message, while its window lasts. */
export async function findSend(
  db: Db,
  caller: Caller,
  messageId: string,
): Promise<{ taskId: string; turn: number; requestHash: string } | undefined> {
  const row = await db
    .selectFrom('sends')
    .select(['task_id', 'turn', 'request_hash'])
    .where('tenant', '=', caller.tenant)
    .where('owner', '=', caller.owner)
    .where('message_id', '=', messageId)
    .where('expires_at', '>', sql<Date>`now()`)
    .executeTakeFirst();
  return row && { taskId: row.task_id, turn: row.turn, requestHash: row.request_hash };
}

/** Stores the definition of an agent under its hash, for the tasks that begin with it. */
export async function storeAgent(db: Db, hash: string, definition: JsonObject): Promise<void> {
  await db
    .insertInto('agents')
    .values({ hash, definition: JSON.stringify(definition) })
    .onConflict((conflict) => conflict.column('hash').doNothing())
    .execute();
}
