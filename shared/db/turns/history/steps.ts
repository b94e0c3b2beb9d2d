/** Reads steps of some names in the turns of a context before a turn: those of its task and of earlier tasks. */
import { sql } from 'kysely';
import { largeWork } from '../../../runtime/large-work.ts';
import type { Db } from '../../client/pool.ts';
import { int, rows as toRows, uuid } from '../../client/rows.ts';
import { estimateTexts, takeWhileFits } from '../input/input-memory.ts';
import type { Lease } from '../leases.ts';
import { readOutline, historyShare, type HistoryBounds } from './read.ts';

/** Maximum size of the results that one statement returns, in bytes. */
const pageBytes = 8 * 1024 * 1024;

/** The steps of a turn, in the order of the turn. */
export interface TurnSteps {
  taskId: string;
  turn: number;
  steps: { name: string; occurrence: number; output: unknown }[];
}

interface TurnSize {
  taskId: string;
  turn: number;
  bytes: number;
}

/**
 * Returns the turns that fit, newest first, also those without such a step.
 *
 * @param contextKey see tasks/context-key.ts
 */
export async function readContextSteps(
  db: Db,
  lease: Lease,
  contextKey: string,
  names: readonly string[],
  { maxTurns, recordBytes, memory, owner }: HistoryBounds,
): Promise<TurnSteps[]> {
  const outline = await readOutline(db, lease, contextKey, maxTurns);
  const sizes = takeWhileFits(await readSizes(db, outline, names), recordBytes);
  await memory.take(sizes.reduce((total, { bytes }) => total + bytes, 0));
  const turns: (TurnSteps & { bytes: number })[] = [];
  const nextTurn = largeWork.pieces(owner);
  for (const page of toPages(sizes)) {
    const rows = await readPage(db, page, names);
    const read = Map.groupBy(rows, ({ taskId, turn }) => `${taskId}/${turn}`);
    for (const key of page) {
      await nextTurn(key.bytes);
      turns.push(toTurnSteps(key, read.get(`${key.taskId}/${key.turn}`) ?? []));
    }
  }
  const fitting = takeWhileFits(turns, memory.maxBytes * historyShare);
  await memory.take(fitting.reduce((total, { bytes }) => total + bytes, 0));
  return fitting.map(({ taskId, turn, steps }) => ({ taskId, turn, steps }));
}

type TurnKey = Pick<TurnSize, 'taskId' | 'turn'>;

async function readSizes(db: Db, turns: readonly TurnKey[], names: readonly string[]): Promise<TurnSize[]> {
  if (turns.length === 0) return [];
  const { rows } = await sql<{ taskId: string; turn: number; bytes: string }>`
    select s.task_id as "taskId", s.turn, sum(s.bytes) as bytes
    from (${toKeys(turns)}) key join steps s on s.task_id = key.task_id and s.turn = key.turn
    where s.name = any(${names}::text[]) and s.finished_at is not null group by s.task_id, s.turn`.execute(
    db,
  );
  const bytes = new Map(rows.map((row) => [`${row.taskId}/${row.turn}`, Number(row.bytes)]));
  return turns.map(({ taskId, turn }) => ({ taskId, turn, bytes: bytes.get(`${taskId}/${turn}`) ?? 0 }));
}

interface StepRow {
  taskId: string;
  turn: number;
  name: string;
  occurrence: number;
  output: string | null;
}

async function readPage(db: Db, page: readonly TurnKey[], names: readonly string[]): Promise<StepRow[]> {
  const { rows } = await sql<StepRow>`
    select s.task_id as "taskId", s.turn, s.name, s.occurrence, s.output::text as output
    from (${toKeys(page)}) key join steps s on s.task_id = key.task_id and s.turn = key.turn
    where s.name = any(${names}::text[]) and s.finished_at is not null
    order by s.position, s.name, s.occurrence`.execute(db);
  return rows;
}

function toTurnSteps({ taskId, turn }: TurnKey, steps: readonly StepRow[]): TurnSteps & { bytes: number } {
  return {
    taskId,
    turn,
    bytes: estimateTexts(steps.map(({ output }) => output)),
    steps: steps.map(({ name, occurrence, output }) => ({
      name,
      occurrence,
      output: output === null ? null : (JSON.parse(output) as unknown),
    })),
  };
}

function toKeys(turns: readonly TurnKey[]) {
  return toRows('key', turns, { task_id: uuid((row) => row.taskId), turn: int((row) => row.turn) });
}

function toPages(sizes: readonly TurnSize[]): TurnSize[][] {
  const pages: TurnSize[][] = [];
  let bytes = 0;
  for (const size of sizes) {
    const page = pages.at(-1);
    if (page === undefined || bytes + size.bytes > pageBytes) {
      pages.push([size]);
      bytes = size.bytes;
    } else {
      page.push(size);
      bytes += size.bytes;
    }
  }
  return pages;
}
