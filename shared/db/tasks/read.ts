/** Reads tasks for their owners (invariant 9: owner and tenant are in every query). */
import { sql } from 'kysely';
import { isUuid } from '../../domain/ids.ts';
import { maxTaskBytes } from '../../domain/sizes.ts';
import type { StateClass } from '../../domain/task.ts';
import { largeWork } from '../../runtime/large-work.ts';
import { createBatcher } from '../client/batcher.ts';
import { fewRows } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { toStoredBytes } from '../contents/sizes.ts';
import { boolean, int, rows, text, uuid } from '../client/rows.ts';
import { countJson, openTask, taskColumns, taskContent, type TaskRow, type TaskSnapshot } from './content.ts';
import { visibleTo, type Caller } from './visibility.ts';

export type { A2aTask, TaskSnapshot } from './content.ts';
export type { Caller } from './visibility.ts';

export interface ReadOptions {
  /**
   * Maximum number of messages of the history, the newest ones (section 3.2.4). Default: as many as fit into
   * `maxTaskBytes` together with the rest of the task.
   */
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

/**
 * Reads tasks of one caller; results are in the order of the reads. If they are large together, they are parsed in pieces.
 *
 * @param maxBytes limits each of history, artifacts and chunks of one task, as JSON
 */
export async function readTaskSnapshots(
  db: Db,
  reads: readonly TaskRead[],
  maxBytes: number = maxTaskBytes,
): Promise<(TaskSnapshot | undefined)[]> {
  const rows = await readTaskRows(db, reads, maxBytes);
  const nextTask = largeWork.pieces(reads[0]?.caller.owner ?? '');
  const snapshots: (TaskSnapshot | undefined)[] = [];
  for (const [index, row] of rows.entries()) {
    if (row !== undefined) await nextTask(countJson(row));
    snapshots.push(row && (await openTask(row, reads[index]?.options ?? {})));
  }
  return snapshots;
}

/** Reads a set of tasks, which `openTask` parses; results are in the order of the reads. */
export async function readTaskRows(
  db: Db,
  reads: readonly TaskRead[],
  maxBytes: number = maxTaskBytes,
): Promise<(TaskRow | undefined)[]> {
  const input = rows('input', reads.map(toIndexed), {
    task_id: uuid((read) => read.taskId),
    tenant: text((read) => read.caller.tenant),
    owner: text((read) => read.caller.owner),
    history_length: int((read) => read.options.historyLength),
    include_artifacts: boolean((read) => read.options.includeArtifacts ?? true),
    include_hidden: boolean((read) => read.options.includeHidden ?? false),
    max_bytes: int(() => toStoredBytes(maxBytes)),
    index: int((read) => read.index),
  });
  const result = await sql<TaskRow & { index: number }>`-- prepared
    select input.index, ${taskColumns}
    from (${input} ${fewRows(reads.length)}) input
    join tasks t on t.id = input.task_id and ${ownedByInput}
    join gates g on g.task_id = t.id
    ${taskContent}
    where t.visible or input.include_hidden`.execute(db);
  const found: (TaskRow | undefined)[] = reads.map(() => undefined);
  for (const row of result.rows) found[row.index] = row;
  return found;
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
    where t.visible`.execute(db);
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
