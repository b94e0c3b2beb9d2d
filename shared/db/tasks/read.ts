/** Reads tasks for their owners (invariant 9: owner and tenant are in every query). */
import { sql, type RawBuilder } from 'kysely';
import { foldArtifacts, type EventPayload, type TaskStatus } from '../../domain/events.ts';
import { isUuid } from '../../domain/ids.ts';
import type { Artifact, JsonObject, Message } from '../../domain/message.ts';
import type { StateClass, TaskState } from '../../domain/task.ts';
import { usageMetadata, type Usage } from '../../domain/usage.ts';
import { createBatcher } from '../client/batcher.ts';
import { fewRows } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { boolean, int, rows, text, uuid } from '../client/rows.ts';
import { visibleTo, type Caller } from './visibility.ts';

export type { Caller } from './visibility.ts';

/** A task in the JSON form of A2A 1.0 (section 4.1.1). */
export interface A2aTask {
  id: string;
  contextId: string;
  status: TaskStatus;
  artifacts: Artifact[];
  history: Message[];
  metadata?: JsonObject;
}

export interface TaskSnapshot {
  task: A2aTask;
  /** The number of the last event that the task contains. */
  lastEvent: number;
  /** Recorded model calls: the task's usage changes with them, without an event. */
  modelCalls: number;
  /** The current turn, and the last turn that a message has added. */
  turn: number;
  lastTurn: number;
  /** The status message is the agent's whole answer. */
  direct: boolean;
  /** A caller has received the task as a Task. Otherwise a direct answer hides its task. */
  shown: boolean;
}

/** A row of `taskColumns`. */
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
  /** Maximum number of messages of the history, the newest ones (section 3.2.4). Default: all. */
  historyLength?: number | undefined;
  includeArtifacts?: boolean;
  /** Also return a task that a direct answer hides. */
  includeHidden?: boolean;
}

export interface TaskRead {
  caller: Caller;
  taskId: string;
  options: ReadOptions;
}

/** @returns undefined if the caller does not own the task, or it is hidden */
export async function readTaskSnapshot(
  db: Db,
  caller: Caller,
  taskId: string,
  options: ReadOptions = {},
): Promise<TaskSnapshot | undefined> {
  const [snapshot] = await readTaskSnapshots(db, [{ caller, taskId, options }]);
  return snapshot;
}

/** Reads a set of tasks; results are in the order of the reads. */
export async function readTaskSnapshots(
  db: Db,
  reads: readonly TaskRead[],
): Promise<(TaskSnapshot | undefined)[]> {
  const input = rows('input', reads.map(toIndexed), {
    task_id: uuid((read) => read.taskId),
    tenant: text((read) => read.caller.tenant),
    owner: text((read) => read.caller.owner),
    history_length: int((read) => read.options.historyLength),
    include_artifacts: boolean((read) => read.options.includeArtifacts ?? true),
    include_hidden: boolean((read) => read.options.includeHidden ?? false),
    index: int((read) => read.index),
  });
  const result = await sql<TaskRow & { index: number }>`-- prepared
    select input.index, ${taskColumns}
    from (${input} ${fewRows(reads.length)}) input
    join tasks t on t.id = input.task_id and ${ownedByInput}
    join gates g on g.task_id = t.id
    where t.shown or not t.direct or input.include_hidden`.execute(db);
  const snapshots: (TaskSnapshot | undefined)[] = reads.map(() => undefined);
  for (const row of result.rows) snapshots[row.index] = toSnapshot(row, reads[row.index]?.options ?? {});
  return snapshots;
}

/**
 * Whether the caller in `input` owns the task `t` that was found by its id. `is true` hides the columns from
 * the indexes by owner: a plan made while there are few tasks would use one, and scan all tasks of the owner
 * for each read.
 */
const ownedByInput = sql`(t.tenant = input.tenant and t.owner = input.owner) is true`;

/** The numbers that change with a task, to detect changes without reading it. */
export interface TaskVersion {
  lastEvent: number;
  lastTurn: number;
  modelCalls: number;
  stateClass: StateClass;
}

export type ReadTaskVersion = (caller: Caller, taskId: string) => Promise<TaskVersion | undefined>;

type VersionRead = Omit<TaskRead, 'options'>;

/** Batches concurrent reads of versions. */
export function createVersionReader(db: Db): ReadTaskVersion {
  const read = createBatcher((reads: readonly VersionRead[]) => readTaskVersions(db, reads), { max: 256 });
  return (caller, taskId) => read({ caller, taskId });
}

async function readTaskVersions(db: Db, reads: readonly VersionRead[]): Promise<(TaskVersion | undefined)[]> {
  const input = rows('input', reads.map(toIndexed), {
    task_id: uuid((read) => read.taskId),
    tenant: text((read) => read.caller.tenant),
    owner: text((read) => read.caller.owner),
    index: int((read) => read.index),
  });
  const result = await sql<TaskVersion & { index: number }>`-- prepared
    select input.index, g.last_event as "lastEvent", g.last_turn as "lastTurn",
      coalesce((t.usage ->> 'calls')::int, 0) as "modelCalls", g.state_class as "stateClass"
    from (${input} ${fewRows(reads.length)}) input
    join tasks t on t.id = input.task_id and ${ownedByInput}
    join gates g on g.task_id = t.id
    where t.shown or not t.direct`.execute(db);
  const versions: (TaskVersion | undefined)[] = reads.map(() => undefined);
  for (const row of result.rows) versions[row.index] = row;
  return versions;
}

function toIndexed<T extends object>(item: T, index: number): T & { index: number } {
  return { ...item, index };
}

/** Marks that a caller receives the task as a Task, so that a direct answer can no longer hide it. */
export async function markShown(db: Db, taskId: string): Promise<void> {
  await db.updateTable('tasks').set({ shown: true }).where('id', '=', taskId).execute();
}

/**
 * Selects TaskRow from tasks `t`, gates `g` and an `input` with history_length and include_artifacts.
 * `open_chunks` are the artifact events that no stored artifact contains yet.
 */
export const taskColumns: RawBuilder<unknown> = sql`t.id, t.context_id, t.state, t.status_at, t.status_message, t.metadata,
  t.usage, t.direct, t.shown, g.last_event, g.turn, g.last_turn,
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
  // The current status message becomes part of the history only when the status changes.
  const history = (row.history ?? []).filter(({ messageId }) => messageId !== row.status_message?.messageId);
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

/** Returns the metadata of the request that started the task, and the usage of the task so far. */
export function toMetadata(row: {
  metadata: JsonObject | null;
  usage: Usage | null;
}): Pick<A2aTask, 'metadata'> {
  if (row.metadata === null && row.usage === null) return {};
  return { metadata: { ...row.metadata, ...(row.usage && usageMetadata(row.usage)) } };
}

/** Returns the first id that is not the id of a task that the caller sees. */
export async function findMissing(
  db: Db,
  caller: Caller,
  ids: readonly string[],
): Promise<string | undefined> {
  const result = await sql<{ id: string }>`
    select t.id from tasks t where t.id = any(${ids.filter(isUuid)}::uuid[]) and ${visibleTo(caller)}`.execute(
    db,
  );
  const found = new Set(result.rows.map((row) => row.id));
  return ids.find((id) => !found.has(id.toLowerCase()));
}

/** Returns the task of an earlier send of the same message, within the idempotency window. */
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
