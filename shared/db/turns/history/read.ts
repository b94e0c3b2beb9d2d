/**
 * Reads the history of a turn, when its agent asks for it: measures first, chooses what fits, and reads that in
 * pieces. The cost depends on the number of turns that are asked for, not on the length of the conversation, and what
 * this process has read before is not read again (cache.ts).
 *
 *   newest exchanges of the context ─▶ records of this task's turns among them, the newest ones as far as they fit
 */
import { sql } from 'kysely';
import type { Artifact, Message } from '../../../domain/message.ts';
import { largeWork } from '../../../runtime/large-work.ts';
import { parseWithSharedTexts } from '../../../runtime/shared-texts.ts';
import { fewRows } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { openJsonText } from '../../contents/codec.ts';
import { toContentBytes } from '../../contents/sizes.ts';
import { int, rows as toRows, uuid } from '../../client/rows.ts';
import { estimateTexts, takeWhileFits, type InputMemory, type Sized } from '../input/input-memory.ts';
import type { Lease } from '../leases.ts';
import { readRecord, readRecordSizes, toStep, type RecordSize, type StepText } from '../record.ts';
import type { RecordedStep } from '../turn-content.ts';
import type { CacheKey, HistoryCache } from './cache.ts';
import { exchangesBefore, exchangeTexts } from './exchanges.ts';

/** Maximum number of exchanges that are read, the newest ones, and of bytes of their JSON. */
export const maxHistoryTurns = 500;
const maxHistoryBytes = 16 * 1024 * 1024;
/** The share of the memory of one turn that its exchanges may take, and the records of its earlier turns. */
export const historyShare = 0.25;

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
  /** Large histories are measured and parsed in turn with those of other owners. */
  owner: string;
}

export interface HistoryParts {
  db: Db;
  cache: HistoryCache;
}

/** @param contextKey see tasks/context-key.ts */
export async function readHistory(
  { db, cache }: HistoryParts,
  lease: Lease,
  contextKey: string,
  { maxTurns, recordBytes, memory, owner }: HistoryBounds,
): Promise<StoredHistory> {
  const outline = await readOutline(db, lease, contextKey, maxTurns + 1);
  const chosen = takeWhileFits(outline.slice(0, maxTurns), maxHistoryBytes);
  const ownTurns = chosen.filter(({ taskId }) => taskId === lease.taskId).map(({ turn }) => turn);
  const oldest = ownTurns.at(-1);
  const wanted =
    oldest === undefined ? [] : await readRecordSizes(db, lease, { from: oldest, to: lease.turn - 1 });
  const records = takeWhileFits(wanted, recordBytes);
  await memory.take([...chosen, ...records].reduce((total, { bytes }) => total + bytes, 0));

  const read = await readExchanges({ db, cache }, chosen);
  const readTurns = await readRecords({ db, cache }, lease, records);
  const nextItem = largeWork.pieces(owner);
  const fit = async <T>(items: readonly T[], getTexts: (item: T) => readonly (string | null)[]) => {
    const sized: { item: T; texts: readonly (string | null)[]; bytes: number }[] = [];
    for (const item of items) {
      const texts = getTexts(item);
      await nextItem(countChars(texts));
      sized.push({ item, texts, bytes: estimateTexts(texts) });
    }
    return takeWhileFits(sized, memory.maxBytes * historyShare);
  };
  const exchanges = await fit(read, ({ message, answer, artifacts }) => [message, answer, artifacts]);
  const turns = await fit(readTurns, (steps) => steps.map(({ output }) => output));
  await memory.take([...exchanges, ...turns].reduce((total, { bytes }) => total + bytes, 0));

  const history: StoredHistory = {
    exchanges: [],
    complete: exchanges.length === outline.length && turns.length === wanted.length,
    steps: [],
  };
  for (const { item, texts } of exchanges.toReversed()) {
    await nextItem(countChars(texts));
    history.exchanges.push(toExchange(item));
  }
  for (const { item, texts } of turns.toReversed()) {
    await nextItem(countChars(texts));
    history.steps.push(...item.map(toEarlierStep));
  }
  return history;
}

function countChars(texts: readonly (string | null)[]): number {
  return texts.reduce((total, text) => total + (text?.length ?? 0), 0);
}

interface OutlineRow extends Pick<Exchange, 'taskId' | 'turn'>, Sized {
  version: string;
}

/** Newest first. */
export async function readOutline(
  db: Db,
  { taskId, turn }: Lease,
  contextKey: string,
  limit: number,
): Promise<OutlineRow[]> {
  const start = {
    contextKey: sql`${contextKey}::uuid`,
    taskId: sql`${taskId}::uuid`,
    turn: sql`${turn}::int`,
  };
  const { rows } = await sql<Omit<OutlineRow, 'bytes'> & { bytes: string }>`
    select task_id as "taskId", turn, bytes, version
    from (${exchangesBefore(start, limit)}) exchange`.execute(db);
  return rows.map((row) => ({ ...row, bytes: toContentBytes(Number(row.bytes)) }));
}

type ExchangeText = Pick<Exchange, 'taskId' | 'turn'> &
  Record<'message' | 'artifacts', string> & { answer: string | null };

/** In the order of the outline, without exchanges that were removed meanwhile. */
async function readExchanges(
  { db, cache }: HistoryParts,
  outline: readonly OutlineRow[],
): Promise<ExchangeText[]> {
  const found = new Map<OutlineRow, ExchangeText>();
  const missing: OutlineRow[] = [];
  for (const row of outline) {
    const cached = cache.get({ kind: 'exchange', ...row }) as ExchangeText | undefined;
    if (cached === undefined) missing.push(row);
    else found.set(row, cached);
  }
  if (missing.length > 0) {
    const key = toRows('key', missing, { task_id: uuid((row) => row.taskId), turn: int((row) => row.turn) });
    const { rows } = await sql<Omit<ExchangeText, 'taskId'> & { task_id: string }>`
      ${exchangeTexts(sql`(${key} ${fewRows(missing.length)}) key`)}`.execute(db);
    const read = Map.groupBy(rows, ({ task_id: taskId, turn }) => `${taskId}/${turn}`);
    for (const row of missing) {
      const [text] = read.get(`${row.taskId}/${row.turn}`) ?? [];
      if (text === undefined) continue;
      const { taskId, turn } = row;
      const message = await openJsonText('message', taskId, text.message);
      const answer = await openJsonText('message', taskId, text.answer);
      const artifacts = await openJsonText('artifact', taskId, text.artifacts);
      const exchange = { taskId, turn, message, answer, artifacts };
      cache.set({ kind: 'exchange', ...row }, exchange, countMemory([message, answer, artifacts]));
      found.set(row, exchange);
    }
  }
  return outline.flatMap((row) => found.get(row) ?? []);
}

/** Returns the steps of each turn, newest turn first. */
async function readRecords(
  { db, cache }: HistoryParts,
  lease: Lease,
  records: readonly RecordSize[],
): Promise<StepText[][]> {
  const toKey = ({ turn, bytes, count }: RecordSize): CacheKey => ({
    kind: 'record',
    taskId: lease.taskId,
    turn,
    version: `${count}/${bytes}`,
  });
  const found = new Map(
    records.flatMap((record) => {
      const steps = cache.get(toKey(record)) as StepText[] | undefined;
      return steps === undefined ? [] : [[record.turn, steps]];
    }),
  );
  const missing = records.filter(({ turn }) => !found.has(turn));
  const [newest] = missing;
  const oldest = missing.at(-1);
  if (newest !== undefined && oldest !== undefined) {
    const steps = await readRecord(db, lease, { from: oldest.turn, to: newest.turn });
    const read = Map.groupBy(steps, ({ turn }) => turn);
    for (const record of missing) {
      const ofTurn = read.get(record.turn) ?? [];
      cache.set(toKey(record), ofTurn, countMemory(ofTurn.map(({ output }) => output)));
      found.set(record.turn, ofTurn);
    }
  }
  return records.map(({ turn }) => found.get(turn) ?? []);
}

/** Bytes of one entry of the cache without its texts, which take up to two bytes for each character. */
const entryBytes = 500;

function countMemory(texts: readonly (string | null)[]): number {
  return texts.reduce((bytes, text) => bytes + entryBytes + 2 * (text?.length ?? 0), entryBytes);
}

function toExchange({ taskId, turn, message, answer, artifacts }: ExchangeText): Exchange {
  return {
    taskId,
    turn,
    message: parseWithSharedTexts(message) as Message,
    answer: answer === null ? null : (parseWithSharedTexts(answer) as Message),
    artifacts: parseWithSharedTexts(artifacts) as Artifact[],
  };
}

function toEarlierStep(text: StepText): RecordedStep & { turn: number } {
  return { ...toStep(text), turn: text.turn };
}
