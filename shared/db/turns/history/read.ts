/**
 * Reads the history of a turn, when its agent asks for it: measures first, chooses what fits, and reads that in
 * pieces. The cost depends on the number of turns that are asked for, not on the length of the conversation.
 *
 *   newest exchanges of the context ─▶ records of this task's turns among them, the newest ones as far as they fit
 */
import { sql } from 'kysely';
import type { Artifact, Message } from '../../domain/message.ts';
import type { Db } from '../client/pool.ts';
import { exchangesBefore } from './exchanges.ts';
import { estimateTexts, takeWhileFits, type InputMemory, type Sized } from './input-memory.ts';
import type { Lease } from './leases.ts';
import { readRecord, readRecordSizes, toStep, type StepText } from './record.ts';
import type { RecordedStep } from './turn-content.ts';

/** Maximum number of exchanges that are read, the newest ones, and of bytes of their JSON. */
export const maxHistoryTurns = 500;
const maxHistoryBytes = 16 * 1024 * 1024;
/** The share of the memory of one turn that its exchanges may take, and the records of its earlier turns. */
const historyShare = 0.25;

/** The message and the answer of an earlier turn in the same context. */
export interface Exchange {
  taskId: string;
  turn: number;
  message: Message;
  artifacts: Artifact[];
  answer: Message | null;
}

export interface StoredHistory {
  /** Oldest first. */
  exchanges: Exchange[];
  /** False if older exchanges, or records of earlier turns, were left out because of their number or size. */
  complete: boolean;
  /** The finished steps of this task's turns among the exchanges. */
  steps: (RecordedStep & { turn: number })[];
}

export const noHistory: StoredHistory = { exchanges: [], complete: true, steps: [] };

export interface HistoryBounds {
  /** At most 500. */
  maxTurns: number;
  /** Maximum size of the records of earlier turns, in bytes of JSON. */
  recordBytes: number;
  memory: InputMemory;
}

/** @param contextKey see tasks/context-key.ts */
export async function readHistory(
  db: Db,
  lease: Lease,
  contextKey: string,
  { maxTurns, recordBytes, memory }: HistoryBounds,
): Promise<StoredHistory> {
  const outline = await readOutline(db, lease, contextKey, maxTurns + 1);
  const chosen = takeWhileFits(outline.slice(0, maxTurns), maxHistoryBytes);
  const ownTurns = chosen.filter(({ taskId }) => taskId === lease.taskId).map(({ turn }) => turn);
  const oldest = ownTurns.at(-1);
  const wanted =
    oldest === undefined ? [] : await readRecordSizes(db, lease, { from: oldest, to: lease.turn - 1 });
  const records = takeWhileFits(wanted, recordBytes);
  await memory.take([...chosen, ...records].reduce((total, { bytes }) => total + bytes, 0));

  const texts = await readExchanges(db, lease, contextKey, chosen.length);
  const sized = texts.map((text) => ({
    ...text,
    bytes: estimateTexts([text.message, text.answer, text.artifacts]),
  }));
  const exchanges = takeWhileFits(sized, memory.maxBytes * historyShare);
  const firstTurn = records.at(-1)?.turn;
  const steps =
    firstTurn === undefined ? [] : await readRecord(db, lease, { from: firstTurn, to: lease.turn - 1 });
  const turns = takeWhileFits(
    records.map(({ turn }) => {
      const ofTurn = steps.filter((step) => step.turn === turn);
      return { steps: ofTurn, bytes: estimateTexts(ofTurn.map(({ output }) => output)) };
    }),
    memory.maxBytes * historyShare,
  );
  await memory.take([...exchanges, ...turns].reduce((total, { bytes }) => total + bytes, 0));

  return {
    exchanges: exchanges.toReversed().map(toExchange),
    complete: exchanges.length === outline.length && turns.length === wanted.length,
    steps: turns.toReversed().flatMap((turn) => turn.steps.map(toEarlierStep)),
  };
}

type ExchangeKey = Pick<Exchange, 'taskId' | 'turn'>;

/** Newest first. */
async function readOutline(
  db: Db,
  lease: Lease,
  contextKey: string,
  limit: number,
): Promise<(ExchangeKey & Sized)[]> {
  const { rows } = await sql<ExchangeKey & { bytes: string }>`
    select task_id as "taskId", turn, bytes
    from (${selectExchanges(lease, contextKey, limit)}) exchange`.execute(db);
  return rows.map((row) => ({ ...row, bytes: Number(row.bytes) }));
}

type ExchangeText = ExchangeKey & Record<'message' | 'artifacts', string> & { answer: string | null };

async function readExchanges(
  db: Db,
  lease: Lease,
  contextKey: string,
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

function selectExchanges({ taskId, turn }: Lease, contextKey: string, limit: number) {
  const start = {
    contextKey: sql`${contextKey}::uuid`,
    taskId: sql`${taskId}::uuid`,
    turn: sql`${turn}::int`,
  };
  return exchangesBefore(start, limit);
}

function toExchange({ taskId, turn, message, answer, artifacts }: ExchangeText): Exchange {
  return {
    taskId,
    turn,
    message: JSON.parse(message) as Message,
    answer: answer === null ? null : (JSON.parse(answer) as Message),
    artifacts: JSON.parse(artifacts) as Artifact[],
  };
}

function toEarlierStep(text: StepText): RecordedStep & { turn: number } {
  return { ...toStep(text), turn: text.turn };
}
