/**
 * The content of a task in a query: its history, its artifacts, and the chunks of artifacts that are being written.
 * Each is read only as far as it fits into `input.max_bytes`. The sizes of messages and artifacts are stored, so that
 * content that does not fit is never loaded.
 */
import { sql, type RawBuilder } from 'kysely';
import { childrenExtension, maxListedChildren } from '../../domain/children.ts';
import { foldArtifacts, type EventPayload, type TaskStatus } from '../../domain/events.ts';
import type { Artifact, JsonObject, Message, Part } from '../../domain/message.ts';
import { maxTaskBytes, measure } from '../../domain/sizes.ts';
import type { TaskState } from '../../domain/task.ts';
import { usageMetadata, type Usage } from '../../domain/usage.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, openJson, openList } from '../contents/codec.ts';
import { toContentBytes } from '../contents/sizes.ts';

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
  /** The size of the task as `measure` counts it. */
  bytes: number;
  /** The snapshot lacks content that exceeds the size of the read. */
  isCut: boolean;
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

/** A row of `taskColumns`. Columns that may be large are JSON, which `openTask` parses. */
export interface TaskRow {
  id: string;
  context_id: string;
  state: TaskState;
  status_at: Date;
  status_message: Message | null;
  metadata: JsonObject | null;
  usage: Usage | null;
  /** The first children, and their number. */
  children: string[] | null;
  child_count: number | null;
  direct: boolean;
  shown: boolean;
  last_event: number;
  turn: number;
  last_turn: number;
  history: string | null;
  artifacts: string | null;
  open_chunks: string | null;
  /** Content was left out because it exceeds `max_bytes`. */
  is_cut: boolean;
}

/** The newest messages of task `t`, each with the size of all up to it. One more than asked for: see `toSnapshot`. */
const newestMessages = sql`
  select m.message, m.turn, m.role, sum(m.bytes) over (order by m.turn desc, m.role) as total
  from messages m where m.task_id = t.id and input.history_length is distinct from 0
  order by m.turn desc, m.role limit input.history_length::bigint + 1`;

const sizedArtifacts = sql`
  select a.artifact, a.seq, sum(a.bytes) over (order by a.seq) as total
  from artifacts a where a.task_id = t.id and input.include_artifacts`;

/** The artifact events that no stored artifact contains yet. */
const openChunks = sql`
  select e.payload, e.seq, sum(octet_length(e.payload::text)) over (order by e.seq) as total
  from events e
  where e.task_id = t.id and e.kind = 'artifact' and input.include_artifacts and not exists (
    select 1 from artifacts a where a.task_id = e.task_id and a.artifact_id = e.artifact_id and a.seq >= e.seq
  )`;

const isCut = sql`coalesce(bool_or(total > input.max_bytes), false) as is_cut`;
const fits = sql`filter (where total <= input.max_bytes)`;

/** Aggregates the rows of `source` that fit, as a lateral join. */
function joinContent(
  name: string,
  item: string,
  order: string,
  source: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
  cross join lateral (
    select json_agg(${sql.raw(`${item} order by ${order}`)}) ${fits} as items, ${isCut} from (${source}) source
  ) ${sql.ref(name)}`;
}

/** The columns of a task `t` for `toMetadata`. */
export const childColumns = sql`t.children[:${sql.lit(maxListedChildren)}] as children, cardinality(t.children) as child_count`;

/** Selects TaskRow from tasks `t`, gates `g` and the joins of `taskContent`. */
export const taskColumns: RawBuilder<unknown> = sql`t.id, t.context_id, t.state, t.status_at, t.status_message, t.metadata,
  t.usage, ${childColumns}, t.direct, t.shown, g.last_event, g.turn, g.last_turn, history.items::text as history,
  artifact.items::text as artifacts, chunk.items::text as open_chunks, history.is_cut or artifact.is_cut or chunk.is_cut as is_cut`;

/** Joins the content of task `t`, with history_length, include_artifacts and max_bytes of an `input`. */
export const taskContent: RawBuilder<unknown> = sql.join(
  [
    joinContent('history', 'message', 'turn, role desc', newestMessages),
    joinContent('artifact', 'artifact', 'seq', sizedArtifacts),
    joinContent('chunk', 'payload', 'seq', openChunks),
  ],
  sql``,
);

/** The length of the JSON that `openTask` parses. */
export function countJson({ history, artifacts, open_chunks: chunks }: TaskRow): number {
  return (history?.length ?? 0) + (artifacts?.length ?? 0) + (chunks?.length ?? 0);
}

/**
 * Parses a row, and decrypts its contents.
 *
 * @param options.historyLength maximum number of messages of the history; undefined: as many as fit
 */
export async function openTask(
  row: TaskRow,
  options: { historyLength?: number | undefined },
): Promise<TaskSnapshot> {
  const { id } = row;
  const content: TaskContent = {
    statusMessage: row.status_message,
    metadata: row.metadata,
    history: parseList<Message>(row.history),
    artifacts: parseList<Artifact>(row.artifacts),
    chunks: parseList<EventPayload>(row.open_chunks),
  };
  if (!areContentsEncrypted()) return toSnapshot(row, content, options);
  const opened = {
    statusMessage: await openJson('message', id, content.statusMessage),
    metadata: await openJson('metadata', id, content.metadata),
    history: await openList('message', id, content.history),
    artifacts: await openList('artifact', id, content.artifacts),
    chunks: await openList('event', id, content.chunks),
  };
  return toSnapshot(row, opened, options);
}

/** Parses an aggregate of JSON values; null is one of none. */
export function parseList<T>(json: string | null): T[] {
  return json === null ? [] : (JSON.parse(json) as T[]);
}

interface TaskContent {
  statusMessage: Message | null;
  metadata: JsonObject | null;
  history: Message[];
  artifacts: Artifact[];
  chunks: EventPayload[];
}

function toSnapshot(
  row: TaskRow,
  { statusMessage, metadata, history: messages, artifacts, chunks }: TaskContent,
  { historyLength }: { historyLength?: number | undefined },
): TaskSnapshot {
  // The current status message becomes part of the history only when the status changes.
  const history = messages.filter(({ messageId }) => messageId !== statusMessage?.messageId);
  const updates = chunks.flatMap((payload) => ('artifactUpdate' in payload ? [payload.artifactUpdate] : []));
  const task: A2aTask = {
    id: row.id,
    contextId: row.context_id,
    status: {
      state: row.state,
      timestamp: row.status_at.toISOString(),
      ...(statusMessage !== null && { message: statusMessage }),
    },
    artifacts: foldArtifacts(updates, artifacts),
    history: [],
    ...toMetadata({ ...row, metadata }),
  };
  const rest = measure(task);
  const newest = history.slice(historyLength === undefined ? 0 : Math.max(0, history.length - historyLength));
  const fitting = takeNewest(newest, maxTaskBytes - rest);
  return {
    task: { ...task, history: fitting.history },
    bytes: rest + fitting.bytes,
    isCut: row.is_cut,
    lastEvent: row.last_event,
    modelCalls: row.usage?.calls ?? 0,
    turn: row.turn,
    lastTurn: row.last_turn,
    direct: row.direct,
    shown: row.shown,
  };
}

/** Returns the newest messages that fit: a server may return fewer than asked for (section 3.2.4). */
export function takeNewest(history: Message[], maxBytes: number): { history: Message[]; bytes: number } {
  let bytes = 0;
  for (let index = history.length - 1; index >= 0; index--) {
    const size = measure(history[index], maxBytes - bytes);
    if (bytes + size > maxBytes) return { history: history.slice(index + 1), bytes };
    bytes += size;
  }
  return { history, bytes };
}

/** Returns the metadata of the request that started the task, the usage of the task so far, and its children. */
export function toMetadata(
  row: Pick<TaskRow, 'metadata' | 'usage' | 'children' | 'child_count'>,
): Pick<A2aTask, 'metadata'> {
  const { metadata, usage, children } = row;
  if (metadata === null && usage === null && children === null) return {};
  return {
    metadata: {
      ...metadata,
      ...(usage && usageMetadata(usage)),
      ...(children && {
        [childrenExtension]: {
          ...readParent(metadata),
          children: row.child_count,
          referenceTaskIds: children,
        },
      }),
    },
  };
}

/** Returns the parent of a child, which `spawn` has written to its metadata. Clients may send anything under the same key. */
function readParent(metadata: JsonObject | null): { parent?: string } {
  const sent = metadata?.[childrenExtension];
  const parent = typeof sent === 'object' && sent !== null && 'parent' in sent ? sent['parent'] : undefined;
  return typeof parent === 'string' ? { parent } : {};
}

/** Returns the bytes of a task's artifacts as JSON, by their ids. */
export async function readArtifactSizes(db: Db, taskId: string): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('artifacts')
    .select(['artifact_id', 'bytes'])
    .where('task_id', '=', taskId)
    .execute();
  return new Map(rows.map((row) => [row.artifact_id, toContentBytes(row.bytes)]));
}

/** Returns the parts of an artifact as clients have them, with the chunks so far. Undefined: there is no such artifact. */
export async function readArtifactParts(
  db: Db,
  taskId: string,
  artifactId: string,
): Promise<Part[] | undefined> {
  const { rows } = await sql<{ artifact: Artifact | null; chunks: EventPayload[] | null }>`
    select a.artifact, (
      select json_agg(e.payload order by e.seq) from events e
      where e.task_id = ${taskId} and e.kind = 'artifact' and e.artifact_id = ${artifactId} and e.seq > coalesce(a.seq, 0)
    ) as chunks
    from (select) single_row left join artifacts a on a.task_id = ${taskId} and a.artifact_id = ${artifactId}`.execute(
    db,
  );
  const [row] = rows;
  const payloads = await openList('event', taskId, row?.chunks ?? []);
  const artifact = await openJson('artifact', taskId, row?.artifact);
  const chunks = payloads.flatMap((payload) => ('artifactUpdate' in payload ? [payload.artifactUpdate] : []));
  return foldArtifacts(chunks, artifact ? [artifact] : [])[0]?.parts;
}
