/**
 * Reads the content of one turn alone, if the claim has not read it: measures first, chooses what fits, and reads
 * that in pieces. A statement returns at most one value more than its page.
 *
 *   sizes ─▶ message and record of the turn: must fit ─▶ newest exchanges of the context ─▶ records of earlier turns,
 *   the newest ones as far as they fit
 */
import { sql } from 'kysely';
import { FatalError } from '../../domain/errors.ts';
import type { Artifact, Json, JsonObject, Message } from '../../domain/message.ts';
import type { Db } from '../client/pool.ts';
import { estimateHeapBytes } from './heap-estimate.ts';
import type { Lease } from './leases.ts';
import { readRecord, readRecordSizes, type StepText } from './record.ts';
import { exchangesBefore, type Exchange, type RecordedStep, type TurnContent } from './turn-content.ts';

/** Maximum number of exchanges of a context that are read, the newest ones, and of bytes of their JSON. */
const maxExchanges = 500;
const maxHistoryBytes = 16 * 1024 * 1024;
/** The share of the memory of one turn that its history may take. */
const historyShare = 0.25;

/** The memory that the input of one turn takes in its worker. */
export interface InputMemory {
  /** The most that one turn may take, in bytes. */
  readonly maxBytes: number;
  /** Resolves when the worker has this many bytes free for the turn. */
  take(bytes: number): Promise<void>;
}

export interface ContentBounds {
  /** Maximum size of the record of one turn, in bytes of JSON. */
  recordBytes: number;
  memory: InputMemory;
}

/**
 * @throws {FatalError} if the message and the record of the turn exceed the bounds, or the message is missing
 * @throws {Error} if a stored value cannot be read
 */
export async function readTurnContent(
  db: Db,
  lease: Lease,
  { recordBytes, memory }: ContentBounds,
): Promise<TurnContent> {
  const sizes = await readSizes(db, lease);
  const [own, ...earlierRecords] = await readRecordSizes(db, lease);
  if (own.bytes > recordBytes) {
    throw new FatalError(
      `The steps of this turn have recorded ${own.bytes} bytes: at most ${recordBytes} can be read.`,
    );
  }
  const outline = await readOutline(db, lease, sizes.contextKey);
  const exchanges = takeWhileFits(outline.slice(0, maxExchanges), maxHistoryBytes);
  const kept = new Set(exchanges.filter(({ taskId }) => taskId === lease.taskId).map(({ turn }) => turn));
  const wanted = earlierRecords.filter(({ turn }) => kept.has(turn));
  const records = takeWhileFits(wanted, recordBytes - own.bytes);
  const chosen = [sizes, own, ...exchanges, ...records];
  await memory.take(sum(chosen));

  const message = await readMessage(db, lease);
  const steps = await readRecord(db, lease, records.at(-1)?.turn ?? lease.turn);
  const ownSteps = steps.filter(({ turn }) => turn === lease.turn);
  const required = estimate([message.message, message.metadata, message.modes]) + estimateSteps(ownSteps);
  if (required > memory.maxBytes) {
    throw new FatalError(
      `The input of this turn needs about ${required} bytes of memory once it is parsed: a worker has at most ${memory.maxBytes} for it.`,
    );
  }
  const read = await readExchanges(db, lease, sizes.contextKey, exchanges.length);
  const history = takeWhileFits(
    read.map((exchange) => ({
      ...exchange,
      bytes: estimate([exchange.message, exchange.answer, exchange.artifacts]),
    })),
    memory.maxBytes * historyShare,
  );
  const earlierTurns = takeWhileFits(
    records.map(({ turn }) => {
      const ofTurn = steps.filter((step) => step.turn === turn);
      return { steps: ofTurn, bytes: estimateSteps(ofTurn) };
    }),
    memory.maxBytes - required - sum(history),
  );
  await memory.take(required + sum(history) + sum(earlierTurns));

  return {
    message: JSON.parse(message.message) as Message,
    metadata: parseOr<JsonObject>(message.metadata, {}),
    acceptedOutputModes: parseOr<string[]>(message.modes, []),
    earlier: history.toReversed().map(toExchange),
    historyComplete: history.length === outline.length && earlierTurns.length === wanted.length,
    steps: [...earlierTurns.toReversed().flatMap((earlier) => earlier.steps), ...ownSteps].map(toStep),
    recordBytes: own.bytes,
    startedSecondsAgo: sizes.startedSecondsAgo,
  };
}

interface Sized {
  bytes: number;
}

interface Sizes extends Sized {
  contextKey: string | null;
  startedSecondsAgo: number;
}

async function readSizes(db: Db, { taskId, turn }: Lease): Promise<Sizes> {
  const { rows } = await sql<Sizes>`
    select m.bytes + t.metadata_bytes as bytes, m.context_key as "contextKey", coalesce((
      select extract(epoch from now() - min(s.started_at))::float8 from steps s
      where s.task_id = t.id and s.turn = m.turn
    ), 0) as "startedSecondsAgo"
    from tasks t join messages m on m.task_id = t.id and m.turn = ${turn} and m.role = 'user'
    where t.id = ${taskId}`.execute(db);
  const [sizes] = rows;
  if (sizes === undefined) throw new FatalError('The message of this turn is missing.');
  return { ...sizes, startedSecondsAgo: Math.max(0, sizes.startedSecondsAgo) };
}

type ExchangeKey = Pick<Exchange, 'taskId' | 'turn'>;

/** Returns one exchange more than are read if there are more, newest first. */
async function readOutline(
  db: Db,
  lease: Lease,
  contextKey: string | null,
): Promise<(ExchangeKey & Sized)[]> {
  const { rows } = await sql<ExchangeKey & { bytes: string }>`
    select task_id as "taskId", turn, bytes
    from (${selectExchanges(lease, contextKey, maxExchanges + 1)}) exchange`.execute(db);
  return rows.map((row) => ({ ...row, bytes: Number(row.bytes) }));
}

type ExchangeText = ExchangeKey & Record<'message' | 'artifacts', string> & { answer: string | null };

async function readExchanges(
  db: Db,
  lease: Lease,
  contextKey: string | null,
  limit: number,
): Promise<ExchangeText[]> {
  if (limit === 0) return [];
  const { rows } = await sql<ExchangeText>`
    select task_id as "taskId", turn, message::text, answer::text, (
      select coalesce(json_agg(a.artifact order by a.seq), '[]')::text from artifacts a
      where a.task_id = exchange.task_id and a.turn = exchange.turn
    ) as artifacts
    from (${selectExchanges(lease, contextKey, limit)}) exchange`.execute(db);
  return rows;
}

function selectExchanges({ taskId, turn }: Lease, contextKey: string | null, limit: number) {
  const key = { contextKey: sql`${contextKey}::uuid`, taskId: sql`${taskId}::uuid`, turn: sql`${turn}::int` };
  return exchangesBefore(key, limit);
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
  return row;
}

/** Returns the first items whose sizes together do not exceed the maximum. */
function takeWhileFits<T extends Sized>(items: readonly T[], maxBytes: number): T[] {
  let bytes = 0;
  const end = items.findIndex((item) => (bytes += item.bytes) > maxBytes);
  return items.slice(0, end === -1 ? undefined : end);
}

function sum(items: readonly Sized[]): number {
  return items.reduce((total, { bytes }) => total + bytes, 0);
}

function estimate(texts: readonly (string | null)[]): number {
  return texts.reduce((total, text) => total + (text === null ? 0 : estimateHeapBytes(text)), 0);
}

function estimateSteps(steps: readonly StepText[]): number {
  return estimate(steps.map(({ output }) => output));
}

function parseOr<T>(text: string | null, fallback: T): T {
  return text === null ? fallback : (JSON.parse(text) as T);
}

function toExchange({ taskId, turn, message, answer, artifacts }: ExchangeText): Exchange {
  return {
    taskId,
    turn,
    message: JSON.parse(message) as Message,
    answer: parseOr<Message | null>(answer, null),
    artifacts: JSON.parse(artifacts) as Artifact[],
  };
}

function toStep({ output, ...step }: StepText): RecordedStep & { turn: number } {
  return { ...step, output: parseOr<Json>(output, null) };
}
