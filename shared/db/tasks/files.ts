/** Files of tasks, stored under the hash of their content. */
import { sql } from 'kysely';
import { LeaseLostError } from '../../domain/errors.ts';
import type { Db } from '../client/pool.ts';
import type { Lease } from '../turns/leases.ts';
import { ownedBy, type Caller } from './visibility.ts';

export interface StoredFile {
  mediaType: string;
  filename: string | null;
  content: Buffer;
}

/**
 * Stores a file of a task, unless it is stored already.
 *
 * @returns the bytes that were stored
 * @throws {LeaseLostError} if this worker no longer holds the turn; nothing was written (invariant 3)
 */
export async function storeFile(
  db: Db,
  { taskId, fence }: Lease,
  { hash, mediaType, filename, content }: StoredFile & { hash: string },
): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    with gate as (
      update gates g set bytes = g.bytes + case
          when exists (select from files f where f.task_id = g.task_id and f.hash = ${hash}) then 0
          else ${content.length}::bigint end
      where task_id = ${taskId} and fence = ${fence} and state_class = 0
      returning task_id
    ),
    file as (
      insert into files (task_id, hash, media_type, filename, content)
      select task_id, ${hash}, ${mediaType}, ${filename}, ${content} from gate
      on conflict (task_id, hash) do nothing
      returning octet_length(content) as bytes
    )
    select coalesce(file.bytes, 0) as bytes from gate left join file on true`.execute(db);
  if (rows[0] === undefined) throw new LeaseLostError(`lost the lease on task ${taskId}`);
  return rows[0].bytes;
}

/** Returns a file of a task that the caller owns (invariant 9). */
export async function readFile(
  db: Db,
  caller: Caller,
  { taskId, hash }: { taskId: string; hash: string },
): Promise<StoredFile | undefined> {
  const row = await db
    .selectFrom('files')
    .innerJoin('tasks as t', 't.id', 'files.task_id')
    .select(['media_type', 'filename', 'content'])
    .where('files.task_id', '=', taskId)
    .where('hash', '=', hash)
    .where(ownedBy(caller))
    .executeTakeFirst();
  return row && { mediaType: row.media_type, filename: row.filename, content: row.content };
}
