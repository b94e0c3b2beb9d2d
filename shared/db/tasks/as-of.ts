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
import type { Db } from '../client/pool.ts';
import { openJson, openList } from '../contents/codec.ts';
import { childColumns, toMetadata } from './content.ts';

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
  /** Seconds since the event was written. */
  age: number;
}

const ageInSeconds = sql<number>`extract(epoch from now() - created_at)::float8`;

export async function readEvent(db: Db, taskId: string, seq: number): Promise<StoredEvent | undefined> {
  const row = await db
    .selectFrom('events')
    .select(['kind', 'payload', 'traceparent', ageInSeconds.as('age')])
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

/**
 * Returns a task as of an event.
 *
 * @param maxArtifactBytes artifacts whose JSON is larger in total are not read
 * @returns undefined if the event does not exist
 */
export async function readTaskAsOf(
  db: Db,
  taskId: string,
  seq: number,
  maxArtifactBytes: number,
): Promise<TaskAsOf | undefined> {
  const { rows } = await sql<{
    context_id: string;
    metadata: JsonObject | null;
    usage: Usage | null;
    children: string[] | null;
    child_count: number | null;
    payload: EventPayload;
    fits: boolean;
    artifacts: Artifact[] | null;
    chunks: EventPayload[] | null;
  }>`
    -- The artifacts that were complete at this event or before.
    with whole as (
      select artifact_id, seq, artifact from artifacts where task_id = ${taskId} and seq <= ${seq}
    ),
    -- The chunks up to this event that none of these artifacts contains; they are folded below.
    chunk as (
      select e.seq, e.payload from events e
      where e.task_id = ${taskId} and e.seq <= ${seq} and e.kind = 'artifact' and not exists (
        select 1 from whole where whole.artifact_id = e.artifact_id and whole.seq >= e.seq
      )
    ),
    -- Whether both together are small enough to read.
    size as (
      select coalesce((select sum(octet_length(artifact::text)) from whole), 0)
        + coalesce((select sum(octet_length(payload::text)) from chunk), 0) <= ${maxArtifactBytes} as fits
    )
    select t.context_id, t.metadata, t.usage, ${childColumns}, latest.payload, size.fits,
      case when size.fits then (select json_agg(artifact order by seq) from whole) end as artifacts,
      case when size.fits then (select json_agg(payload order by seq) from chunk) end as chunks
    from tasks t join events this on this.task_id = t.id and this.seq = ${seq}
    cross join lateral (
      select payload from events where task_id = t.id and seq <= ${seq} and kind <> 'artifact'
      order by seq desc limit 1
    ) latest cross join size
    where t.id = ${taskId}`.execute(db);
  const [row] = rows;
  const latest = await openJson('event', taskId, row?.payload);
  if (row === undefined || latest === undefined || !('statusUpdate' in latest)) return undefined;
  const chunks = await openList('event', taskId, row.chunks ?? []);
  const updates = chunks.flatMap((payload) => ('artifactUpdate' in payload ? [payload.artifactUpdate] : []));
  const artifacts = await openList('artifact', taskId, row.artifacts ?? []);
  const metadata = await openJson('metadata', taskId, row.metadata);
  return {
    id: taskId,
    contextId: row.context_id,
    status: latest.statusUpdate.status,
    artifacts: row.fits ? foldArtifacts(updates, artifacts) : undefined,
    ...toMetadata({ ...row, metadata }),
  };
}
