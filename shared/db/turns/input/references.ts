/** Reads the tasks that the messages of a turn refer to, again for each turn: they may have changed. */
import { sql } from 'kysely';
import { isUuid } from '../../../domain/ids.ts';
import type { Artifact, Message } from '../../../domain/message.ts';
import type { TaskState } from '../../../domain/task.ts';
import type { Db } from '../../client/pool.ts';
import { toContentBytes } from '../../contents/sizes.ts';
import { readTaskSnapshots } from '../../tasks/read.ts';
import { ownedBy, type Caller } from '../../tasks/visibility.ts';

/** The current content of a task that a message refers to. */
export interface TaskReference {
  taskId: string;
  state: TaskState;
  messages: Message[];
  artifacts: Artifact[];
  /** False if its messages and artifacts were left out because of their size. */
  complete: boolean;
}

/** Maximum number of referenced tasks that are read, the newest ones, and of bytes of their content together. */
const maxReferences = 20;
const maxReferenceBytes = 4 * 1024 * 1024;

/** Skips tasks that were removed since the message was accepted, and tasks of other owners (invariant 9). */
export async function readReferences(
  db: Db,
  { tenant, owner }: Caller,
  taskId: string,
  messages: readonly { message: Message }[],
): Promise<TaskReference[]> {
  const referenced = new Set(messages.flatMap(({ message }) => message.referenceTaskIds ?? []));
  const ids = [...referenced].filter((id) => isUuid(id) && id !== taskId).slice(-maxReferences);
  if (ids.length === 0) return [];
  const caller = { tenant, owner };
  const sizes = await readSizes(db, caller, ids);
  let bytes = 0;
  const fitting = new Set<string>();
  for (const id of ids.toReversed()) {
    bytes += sizes.get(id) ?? 0;
    if (bytes <= maxReferenceBytes) fitting.add(id);
  }
  const read = (id: string) => ({
    caller,
    taskId: id,
    options: { includeHidden: true, ...(!fitting.has(id) && { historyLength: 0, includeArtifacts: false }) },
  });
  const snapshots = await readTaskSnapshots(db, ids.map(read));
  return snapshots.flatMap((snapshot) => {
    if (snapshot === undefined) return [];
    const { id, status, history, artifacts } = snapshot.task;
    const complete = fitting.has(id);
    const messages = status.message === undefined ? history : [...history, status.message];
    return [{ taskId: id, state: status.state, messages: complete ? messages : [], artifacts, complete }];
  });
}

/** Chunks of artifacts that are not complete are counted in their stored form, which may be compressed. */
async function readSizes(db: Db, caller: Caller, ids: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await sql<{ id: string; bytes: string }>`
    select t.id, coalesce((select sum(m.bytes) from messages m where m.task_id = t.id), 0)
      + coalesce((select sum(a.bytes) from artifacts a where a.task_id = t.id), 0)
      + coalesce((
          select sum(pg_column_size(e.payload)) from events e where e.task_id = t.id and e.kind = 'artifact'
        ), 0) as bytes
    from tasks t where t.id = any(${ids}::uuid[]) and ${ownedBy(caller)}`.execute(db);
  return new Map(rows.map(({ id, bytes }) => [id, toContentBytes(Number(bytes))]));
}
