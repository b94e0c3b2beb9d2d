/**
 * Reads the content of one turn alone, if the claim has not read it: measures first, and reads it in pieces. A
 * statement returns at most one value more than its page.
 */
import { sql } from 'kysely';
import { FatalError, MasterKeyError } from '../../../domain/errors.ts';
import type { JsonObject, Message } from '../../../domain/message.ts';
import { largeWork, minLargeBytes } from '../../../runtime/large-work.ts';
import { parseWithSharedTexts } from '../../../runtime/shared-texts.ts';
import type { Db } from '../../client/pool.ts';
import { areContentsEncrypted, isSealed, openJsonText } from '../../contents/codec.ts';
import { toContentBytes } from '../../contents/sizes.ts';
import { estimateTexts, type InputMemory } from './input-memory.ts';
import type { Lease } from '../leases.ts';
import { readRecord, readRecordSizes, toStep } from '../record.ts';
import type { TurnContent } from '../turn-content.ts';

export interface ContentBounds {
  /** Maximum size of the record of one turn, in bytes of JSON. */
  recordBytes: number;
  memory: InputMemory;
  /** A large input is measured and parsed in turn with those of other owners. */
  owner: string;
}

/**
 * @throws {FatalError} if the message and the record of the turn exceed the bounds, or the message is missing
 * @throws {Error} if a stored value cannot be read
 */
export async function readTurnContent(
  db: Db,
  lease: Lease,
  { recordBytes, memory, owner }: ContentBounds,
): Promise<TurnContent> {
  const range = { from: lease.turn, to: lease.turn };
  const sizes = await readSizes(db, lease);
  const [{ bytes } = { bytes: 0 }] = await readRecordSizes(db, lease, range);
  if (bytes > recordBytes) {
    throw new FatalError(
      `The steps of this turn have recorded ${bytes} bytes: at most ${recordBytes} can be read.`,
    );
  }
  await memory.take(sizes.bytes + bytes);
  const isLarge = sizes.bytes + bytes >= minLargeBytes;

  const { message, metadata, modes } = await readMessage(db, lease);
  const steps = await readRecord(db, lease, range);
  if (isLarge) await largeWork.start(owner);
  const required = estimateTexts([message, metadata, modes, ...steps.map(({ output }) => output)]);
  if (required > memory.maxBytes) {
    throw new FatalError(
      `The input of this turn needs about ${required} bytes of memory once it is parsed: a worker has at most ${memory.maxBytes} for it.`,
    );
  }
  await memory.take(required);
  if (isLarge) await largeWork.start(owner);

  const content = {
    message: parseWithSharedTexts(message) as Message,
    metadata: metadata === null ? {} : (JSON.parse(metadata) as JsonObject),
    acceptedOutputModes: modes === null ? [] : (JSON.parse(modes) as string[]),
    steps: steps.map(toStep),
    recordBytes: bytes,
    startedSecondsAgo: sizes.startedSecondsAgo,
  };
  // The agent starts with a piece of its own: it reads the input too.
  if (isLarge) await largeWork.start(owner);
  return content;
}

async function readSizes(
  db: Db,
  { taskId, turn }: Lease,
): Promise<{ bytes: number; startedSecondsAgo: number }> {
  const { rows } = await sql<{ bytes: number; startedSecondsAgo: number }>`
    select m.bytes + t.metadata_bytes as bytes, coalesce((
      select extract(epoch from now() - min(s.started_at))::float8 from steps s
      where s.task_id = t.id and s.turn = m.turn
    ), 0) as "startedSecondsAgo"
    from tasks t join messages m on m.task_id = t.id and m.turn = ${turn} and m.role = 'user'
    where t.id = ${taskId}`.execute(db);
  const [sizes] = rows;
  if (sizes === undefined) throw new FatalError('The message of this turn is missing.');
  return { bytes: toContentBytes(sizes.bytes, 2), startedSecondsAgo: Math.max(0, sizes.startedSecondsAgo) };
}

async function readMessage(
  db: Db,
  { taskId, turn }: Lease,
): Promise<{ message: string; modes: string | null; metadata: string | null }> {
  const { rows } = await sql<Awaited<ReturnType<typeof readMessage>>>`
    select m.message::text as message, m.accepted_output_modes::text as modes, t.metadata::text as metadata
    from tasks t join messages m on m.task_id = t.id and m.turn = ${turn} and m.role = 'user'
    where t.id = ${taskId}`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new FatalError('The message of this turn is missing.');
  // Only an envelope is parsed here: a message may be large.
  const mayBeSealed = !areContentsEncrypted() && row.message.startsWith('{"enc":');
  if (mayBeSealed && isSealed(JSON.parse(row.message))) {
    throw new MasterKeyError('contents are encrypted, and this process has no key for them');
  }
  return {
    ...row,
    message: await openJsonText('message', taskId, row.message),
    metadata: await openJsonText('metadata', taskId, row.metadata),
  };
}
