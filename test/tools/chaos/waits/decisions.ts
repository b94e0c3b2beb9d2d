/** Checks in the database that each due time of many schedules was decided once, as its policies say. */
import type { Pool } from 'pg';
import { getPercentile } from '../../percentile.ts';

export const policies = ['allow', 'skip', 'queue', 'cancel'] as const;

export interface ExpectedDecisions {
  schedules: number;
  everySeconds: number;
  /** Schedules with this catch-up window may have missed due times. */
  shortCatchUpSeconds: number;
  outage: { from: Date; until: Date };
  /** The least number of due times of each schedule. */
  times: number;
}

interface FiringRow {
  id: string;
  overlap: (typeof policies)[number];
  catchUpSeconds: number;
  dueAt: Date;
  count: number;
  taskId: string | null;
  reason: string | null;
  decidedAt: Date;
  /** The message that started the task is that of the schedule and the due time. Null: there is none. */
  isOwnTask: boolean | null;
}

/** A process that was killed with schedules in its hands, and the database after its outage, need seconds. */
const settleMs = 15_000;

export async function checkDecisions(
  pool: Pool,
  expected: ExpectedDecisions,
): Promise<{ problems: string[]; lines: string[] }> {
  const { rows } = await pool.query<FiringRow>(
    `select s.id, s.overlap, s.catch_up_seconds as "catchUpSeconds", f.due_at as "dueAt", f.count, f.task_id as "taskId",
       f.reason, f.created_at as "decidedAt", m.message ->> 'messageId' = s.key || ':' ||
         to_char(f.due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "isOwnTask"
     from schedules s join schedule_firings f on f.schedule_key = s.key
       left join messages m on m.task_id = f.task_id and m.turn = 1 and m.role = 'user'
     order by s.id, f.due_at`,
  );
  const problems = [
    ...findGaps(rows, expected),
    ...findWrongTasks(rows, await countTasks(pool)),
    ...findWrongReasons(rows, expected),
  ];
  return { problems, lines: describe(rows, expected) };
}

async function countTasks(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ count: number }>('select count(*)::int as count from tasks');
  return rows[0]?.count ?? 0;
}

/** The due times of a schedule follow each other at its interval, with none left out and none repeated. */
function findGaps(
  rows: readonly FiringRow[],
  { schedules, everySeconds, times }: ExpectedDecisions,
): string[] {
  const problems: string[] = [];
  const byId = Map.groupBy(rows, ({ id }) => id);
  if (byId.size !== schedules) problems.push(`${byId.size} of ${schedules} schedules were due`);
  for (const [id, firings] of byId) {
    let next: number | undefined;
    let decided = 0;
    for (const { dueAt, count } of firings) {
      if (next !== undefined && dueAt.getTime() !== next) {
        problems.push(`${id}: ${dueAt.toISOString()} follows where ${new Date(next).toISOString()} was due`);
      }
      next = dueAt.getTime() + count * everySeconds * 1000;
      decided += count;
    }
    if (decided < times) problems.push(`${id}: only ${decided} due times, not ${times}`);
  }
  return problems;
}

/** Each due time without a reason has a task of its own, and no other tasks exist. */
function findWrongTasks(rows: readonly FiringRow[], tasks: number): string[] {
  const started = rows.filter(({ taskId }) => taskId !== null);
  const distinct = new Set(started.map(({ taskId }) => taskId)).size;
  return [
    ...(distinct === started.length ? [] : [`${started.length} due times have ${distinct} tasks`]),
    ...(tasks === started.length ? [] : [`${started.length} due times started ${tasks} tasks`]),
    ...started
      .filter(({ isOwnTask }) => isOwnTask !== true)
      .map(({ id, dueAt }) => `${id}: ${dueAt.toISOString()} has the task of another due time`),
    ...rows
      .filter(
        ({ taskId, reason, count }) =>
          (taskId === null) === (reason === null) || (taskId !== null && count > 1),
      )
      .map(({ id, dueAt }) => `${id}: ${dueAt.toISOString()} was neither started nor skipped`),
  ];
}

function findWrongReasons(rows: readonly FiringRow[], { shortCatchUpSeconds }: ExpectedDecisions): string[] {
  return rows.flatMap(({ id, overlap, catchUpSeconds, dueAt, reason }) => {
    if (reason === null) return [];
    if (reason === 'missed' && catchUpSeconds === shortCatchUpSeconds) return [];
    if (reason === 'overlap' && (overlap === 'skip' || overlap === 'cancel')) return [];
    return [`${id} (${overlap}, ${catchUpSeconds} s): ${dueAt.toISOString()} was skipped as ${reason}`];
  });
}

function describe(rows: readonly FiringRow[], { outage, everySeconds }: ExpectedDecisions): string[] {
  const sum = (matching: (row: FiringRow) => boolean): number =>
    rows.filter(matching).reduce((total, { count }) => total + count, 0);
  const settledAt = outage.until.getTime() + Math.max(settleMs, everySeconds * 1000);
  const late = rows
    .filter(({ taskId, dueAt }) => taskId !== null && (dueAt < outage.from || dueAt.getTime() > settledAt))
    .map(({ dueAt, decidedAt }) => decidedAt.getTime() - dueAt.getTime())
    .sort((a, b) => a - b);
  return [
    `due times: ${sum(() => true)}; started ${sum(({ taskId }) => taskId !== null)}, ` +
      `missed ${sum(({ reason }) => reason === 'missed')}, overlap ${sum(({ reason }) => reason === 'overlap')}`,
    `late, apart from the outage: p50 ${getPercentile(late, 0.5)} ms, p99 ${getPercentile(late, 0.99)} ms, ` +
      `longest ${late.at(-1)} ms`,
  ];
}
