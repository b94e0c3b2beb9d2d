/** Files of tasks, stored under the hash of their content. */
import { sql } from 'kysely';
import { LeaseLostError } from '../../domain/errors.ts';
import { largeWork, minLargeBytes } from '../../runtime/large-work.ts';
import { runLargeStatement } from '../client/large-statements.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, createSealerOfTasks, openText } from '../contents/codec.ts';
import { openSealedFile, sealFile } from '../contents/files.ts';
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
  const sealer = await createSealerOfTasks([taskId]);
  const key = sealer.getKey(taskId);
  if (areContentsEncrypted() && key === undefined) throw new LeaseLostError(`task ${taskId} was removed`);
  if (key !== undefined && content.length >= minLargeBytes) await largeWork.start(taskId);
  const stored = key === undefined ? content : sealFile(key, taskId, content);
  const name = sealer.text('filename', taskId, filename);
  const statement = sql<{ bytes: number }>`-- prepared
    with gate as (
      update gates g set bytes = g.bytes + case
          when exists (select from files f where f.task_id = g.task_id and f.hash = ${hash}) then 0
          else ${content.length}::bigint end
      where task_id = ${taskId} and fence = ${fence} and state_class = 0
      returning task_id
    ),
    file as (
      insert into files (task_id, hash, media_type, filename, content)
      select task_id, ${hash}, ${mediaType}, ${name}, ${stored} from gate
      on conflict (task_id, hash) do nothing
      returning ${content.length}::int as bytes
    )
    select coalesce(file.bytes, 0) as bytes from gate left join file on true`;
  const run = () => statement.execute(db);
  const { rows } = await (content.length >= minLargeBytes ? runLargeStatement(taskId, run) : run());
  if (rows[0] === undefined) throw new LeaseLostError(`lost the lease on task ${taskId}`);
  return rows[0].bytes;
}

export interface OpenedFile {
  mediaType: string;
  filename: string | null;
  /** In bytes. */
  size: number;
  /** Reads the content in pieces, so that a large file with a slow reader takes little memory. */
  content: () => AsyncGenerator<Buffer, void, undefined>;
}

/** The column is not compressed, so a piece is read without the rest. */
const pieceBytes = 1024 * 1024;

/** Returns a file of a task that the caller owns, to read it in pieces (invariant 9). */
export async function openFile(
  db: Db,
  caller: Caller,
  location: { taskId: string; hash: string },
): Promise<OpenedFile | undefined> {
  const readPiece = (from: number) =>
    selectFile(db, caller, location)
      .select(['media_type', 'filename', sql<number>`octet_length(content)`.as('size')])
      .select(sql<Buffer>`substring(content from ${from + 1}::int for ${pieceBytes}::int)`.as('piece'))
      .executeTakeFirst();
  const first = await readPiece(0);
  if (first === undefined) return undefined;
  const { taskId } = location;
  const filename = await openText('filename', taskId, first.filename);
  if (areContentsEncrypted()) {
    const read = async (from: number, length: number): Promise<Buffer> => {
      const row = await selectFile(db, caller, location)
        .select(sql<Buffer>`substring(content from ${from + 1}::int for ${length}::int)`.as('piece'))
        .executeTakeFirst();
      if (row === undefined) throw new Error(`file ${location.hash} was removed while it was read`);
      return row.piece;
    };
    const sealed = await openSealedFile(taskId, { size: first.size, read });
    if (sealed !== undefined) {
      return { mediaType: first.media_type, filename, size: sealed.size, content: sealed.pieces };
    }
  }
  return {
    mediaType: first.media_type,
    filename,
    size: first.size,
    content: async function* () {
      yield first.piece;
      for (let from = pieceBytes; from < first.size; from += pieceBytes) {
        const next = await readPiece(from);
        if (next === undefined) throw new Error(`file ${location.hash} was removed while it was read`);
        yield next.piece;
      }
    },
  };
}

/** Returns a file of a task that the caller owns (invariant 9). It is read in pieces: each occupies the event loop. */
export async function readFile(
  db: Db,
  caller: Caller,
  location: { taskId: string; hash: string },
): Promise<StoredFile | undefined> {
  const file = await openFile(db, caller, location);
  if (file === undefined) return undefined;
  const pieces: Buffer[] = [];
  for await (const piece of file.content()) {
    pieces.push(piece);
    if (piece.length >= minLargeBytes) await largeWork.start(caller.owner);
  }
  return { mediaType: file.mediaType, filename: file.filename, content: Buffer.concat(pieces) };
}

function selectFile(db: Db, caller: Caller, { taskId, hash }: { taskId: string; hash: string }) {
  return db
    .selectFrom('files')
    .innerJoin('tasks as t', 't.id', 'files.task_id')
    .where('files.task_id', '=', taskId)
    .where('hash', '=', hash)
    .where(ownedBy(caller));
}
