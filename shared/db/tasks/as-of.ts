/** Reads a task as it was right after one of its events, for the webhook about that event (invariant 5). */
import { sql } from 'kysely';
import {
  foldArtifacts,
  type ArtifactUpdate,
  type EventKind,
  type EventPayload,
  type TaskStatus,
} from '../../domain/events.ts';
import type { Artifact, JsonObject } from '../../domain/message.ts';
import type { Usage } from '../../domain/usage.ts';
import { FairLanes } from '../../runtime/fair-lanes.ts';
import { largeWork, minLargeBytes } from '../../runtime/large-work.ts';
import { fewRows } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { bigint, int, rows as toRows, uuid } from '../client/rows.ts';
import { openJson, openList } from '../contents/codec.ts';
import { toStoredBytes } from '../contents/sizes.ts';
import { childColumns, parseList, toMetadata } from './content.ts';

/** A task without its history. */
export interface TaskAsOf {
  id: string;
  contextId: string;
  status: TaskStatus;
  /** Undefined if they exceed the requested size. */
  artifacts: Artifact[] | undefined;
  metadata?: JsonObject;
}

export interface StoredEvent {
  kind: EventKind;
  payload: EventPayload;
  /** The span that wrote the event. */
  traceparent: string | null;
  createdAt: Date;
}

export async function readEvent(db: Db, taskId: string, seq: number): Promise<StoredEvent | undefined> {
  const row = await db
    .selectFrom('events')
    .select(['kind', 'payload', 'traceparent', 'created_at as createdAt'])
    .where('task_id', '=', taskId)
    .where('seq', '=', seq)
    .executeTakeFirst();
  return row && { ...row, payload: await openJson('event', taskId, row.payload) };
}

/** Returns the updates of one artifact from one event to another, both included, in order. */
export async function readChunks(
  db: Db,
  taskId: string,
  artifactId: string,
  from: number,
  to: number,
): Promise<ArtifactUpdate[]> {
  const rows = await db
    .selectFrom('events')
    .select('payload')
    .where('task_id', '=', taskId)
    .where('artifact_id', '=', artifactId)
    .where('seq', '>=', from)
    .where('seq', '<=', to)
    .orderBy('seq')
    .execute();
  const payloads = await openList(
    'event',
    taskId,
    rows.map(({ payload }) => payload),
  );
  return payloads.flatMap((payload) => ('artifactUpdate' in payload ? [payload.artifactUpdate] : []));
}

/** Returns a task's current state in the form of a status update. */
export async function readTaskStatus(
  db: Db,
  taskId: string,
): Promise<{ taskId: string; contextId: string; status: TaskStatus } | undefined> {
  const row = await db
    .selectFrom('tasks')
    .select(['context_id', 'state', 'status_at'])
    .where('id', '=', taskId)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const status = { state: row.state, timestamp: row.status_at.toISOString() };
  return { taskId, contextId: row.context_id, status };
}

/** Returns the status of the newest status event up to this number. */
export async function readStatusAsOf(db: Db, taskId: string, seq: number): Promise<TaskStatus | undefined> {
  const row = await db
    .selectFrom('events')
    .select('payload')
    .where('task_id', '=', taskId)
    .where('seq', '<=', seq)
    .where('kind', '<>', 'artifact')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  const payload = await openJson('event', taskId, row?.payload);
  return payload !== undefined && 'statusUpdate' in payload ? payload.statusUpdate.status : undefined;
}

/** An event of a task. */
export interface AsOf {
  taskId: string;
  seq: number;
  /** Artifacts whose JSON is larger in total are not read. */
  maxArtifactBytes: number;
}

/** Few large tasks wait in memory until the event loop is free for them. */
const largeReads = new FairLanes(4);

/**
 * Reads a task alone. A large one is parsed in turn with those of other owners.
 *
 * @returns undefined if the event does not exist
 */
export async function readTaskAsOf(
  db: Db,
  { owner, ...asOf }: AsOf & { owner: string },
): Promise<TaskAsOf | undefined> {
  return largeReads.run(owner, async () => {
    const [row] = await readRows(db, [asOf]);
    if (row === undefined) return undefined;
    const length = (row.artifacts?.length ?? 0) + (row.chunks?.length ?? 0);
    if (length >= minLargeBytes) await largeWork.start(owner);
    return toTask(row);
  });
}

/**
 * Reads tasks as of events, in one statement. The caller bounds the size of the whole set.
 *
 * @returns in the order of `asOf`; undefined for an event that does not exist
 */
export async function readTasksAsOf(db: Db, asOf: readonly AsOf[]): Promise<(TaskAsOf | undefined)[]> {
  const rows = await readRows(db, asOf);
  return Promise.all(rows.map(async (row) => row && toTask(row)));
}

interface Row {
  task_id: string;
  seq: number;
  context_id: string;
  metadata: JsonObject | null;
  usage: Usage | null;
  children: string[] | null;
  child_count: number | null;
  payload: EventPayload;
  fits: boolean;
  /** JSON: both may be large. */
  artifacts: string | null;
  chunks: string | null;
}

/** The artifacts of a task that were complete at an event or before. */
const whole = sql`from artifacts a where a.task_id = input.task_id and a.seq <= input.seq`;

/** The chunks up to an event that none of these artifacts contains; they are folded below. */
const chunk = sql`from events e
        where e.task_id = input.task_id and e.seq <= input.seq and e.kind = 'artifact' and not exists (
          select 1 ${whole} and a.artifact_id = e.artifact_id and a.seq >= e.seq
        )`;

async function readRows(db: Db, asOf: readonly AsOf[]): Promise<(Row | undefined)[]> {
  const { rows } = await sql<Row>`-- prepared
    with input as (${toRows('input', asOf, {
      task_id: uuid(({ taskId }) => taskId),
      seq: int(({ seq }) => seq),
      max_bytes: bigint(({ maxArtifactBytes }) => toStoredBytes(maxArtifactBytes)),
    })} ${fewRows(asOf.length)})
    select input.task_id, input.seq, t.context_id, t.metadata, t.usage, ${childColumns}, size.fits,
      case when this.kind <> 'artifact' then this.payload else (
        select e.payload from events e where e.task_id = input.task_id and e.seq <= input.seq and e.kind <> 'artifact'
        order by e.seq desc limit 1
      ) end as payload,
      case when size.fits and size.artifacts > 0 then (select json_agg(a.artifact order by a.seq) ${whole})::text end as artifacts,
      case when size.fits and size.chunks > 0 then (select json_agg(e.payload order by e.seq) ${chunk})::text end as chunks
    from input join tasks t on t.id = input.task_id
    join events this on this.task_id = input.task_id and this.seq = input.seq
    -- Whether both together are small enough to read. Few tasks have both, so what is empty is not read again.
    cross join lateral (
      select artifacts.bytes as artifacts, chunks.bytes as chunks, artifacts.bytes + chunks.bytes <= input.max_bytes as fits
      from (select coalesce(sum(a.bytes), 0) as bytes ${whole}) artifacts,
        (select coalesce(sum(octet_length(e.payload::text)), 0) as bytes ${chunk}) chunks
    ) size`.execute(db);
  const found = new Map(rows.map((row) => [toText(row.task_id, row.seq), row]));
  return asOf.map(({ taskId, seq }) => found.get(toText(taskId, seq)));
}

const toText = (taskId: string, seq: number): string => `${taskId} ${seq}`;

async function toTask(row: Row): Promise<TaskAsOf | undefined> {
  const taskId = row.task_id;
  const latest = await openJson('event', taskId, row.payload);
  if (latest === undefined || !('statusUpdate' in latest)) return undefined;
  const chunks = await openList('event', taskId, parseList<EventPayload>(row.chunks));
  const updates = chunks.flatMap((payload) => ('artifactUpdate' in payload ? [payload.artifactUpdate] : []));
  const artifacts = await openList('artifact', taskId, parseList<Artifact>(row.artifacts));
  const metadata = await openJson('metadata', taskId, row.metadata);
  return {
    id: row.task_id,
    contextId: row.context_id,
    status: latest.statusUpdate.status,
    artifacts: row.fits ? foldArtifacts(updates, artifacts) : undefined,
    ...toMetadata({ ...row, metadata }),
  };
}
