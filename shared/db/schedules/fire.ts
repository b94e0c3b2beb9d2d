/**
 * Starts the tasks of schedules that are due. One transaction claims the rows of the schedules, decides their due
 * times, stores tasks and history, and moves the schedules on: a due time is decided once, by whichever process comes
 * first, and a process that dies has decided nothing.
 */
import { sql, type Transaction } from 'kysely';
import type { SkipReason } from '../../domain/schedule.ts';
import { stateClass } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { databaseNow } from '../../runtime/clock.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, createSealer } from '../contents/codec.ts';
import { rows as inputRows, timestamp, uuid } from '../client/rows.ts';
import { runTransaction } from '../client/transaction.ts';
import type { GetOwnerLimits } from '../owners/limits.ts';
import { addOwnerUsage } from '../owners/usage.ts';
import type { Database } from '../schema/schema.ts';
import { acceptTasks, type NewTask } from '../tasks/accept.ts';
import { cancelTask } from '../tasks/cancel.ts';
import { recordFirings, type NewFiring } from './firings.ts';
import { planSchedule, type Plan } from './plan.ts';
import { createRoomCheck, toAmounts, type HasRoom } from './room.ts';
import { openTemplate, withWebhooks, type Schedule, type ScheduleRow } from './rows.ts';
import { createScheduledTask, readCurrentAgent, type CopyWebhook, type CurrentAgent } from './task.ts';

export interface FireOptions {
  getLimits: GetOwnerLimits;
  /** Undefined in a process without the encryption keys, which leaves schedules with secrets to others. */
  copyWebhook: CopyWebhook | undefined;
  wakeupGraceSeconds: number;
  /** Schedules of one transaction. */
  limit: number;
}

export interface Fired {
  wakeups: Wakeup[];
  started: number;
  /** Due times without a task. */
  skipped: number;
  /** Milliseconds that the tasks started after their due times, the latest of them. */
  latestMs: number;
  /** Schedules that were looked at. */
  examined: number;
  /** Schedules that could not be decided, and are tried again in a minute. */
  failed: { id: string; owner: string; error: unknown }[];
}

const nothing: Fired = { wakeups: [], started: 0, skipped: 0, latestMs: 0, examined: 0, failed: [] };

/** Schedules whose webhooks this process can copy. */
const mayFire = (copyWebhook: CopyWebhook | undefined) =>
  copyWebhook === undefined ? sql<boolean>`not has_secrets` : sql<boolean>`true`;

/** Returns when the next schedule must be looked at; undefined: none. */
export async function readNextWakeup(
  db: Db,
  { copyWebhook }: Pick<FireOptions, 'copyWebhook'>,
): Promise<Date | undefined> {
  const row = await db
    .selectFrom('schedules')
    .select('wakeup_at')
    .where('wakeup_at', 'is not', null)
    .where(mayFire(copyWebhook))
    .orderBy('wakeup_at')
    .limit(1)
    .executeTakeFirst();
  return row?.wakeup_at ?? undefined;
}

export async function fireSchedules(db: Db, options: FireOptions): Promise<Fired> {
  if (areContentsEncrypted()) await loadKeys(db, options);
  return runTransaction(db, async (trx) => {
    const claimed = await claimSchedules(trx, options);
    const agent = claimed.length === 0 ? undefined : await readCurrentAgent(trx);
    // Without an agent, no task can start; the schedules stay due.
    if (agent === undefined) return nothing;
    const owners = claimed.map(({ owner }) => owner);
    const hasRoom = await createRoomCheck(trx, options.getLimits, owners);
    const now = new Date(databaseNow());
    const decisions: Decision[] = [];
    const failed: Fired['failed'] = [];
    for (const schedule of claimed) {
      try {
        if (schedule.unreadable !== undefined) throw schedule.unreadable;
        decisions.push(decide(schedule, { now, agent, hasRoom, copyWebhook: options.copyWebhook }));
      } catch (error) {
        // A webhook whose key is lost, for example. The others must not wait for it.
        failed.push({ id: schedule.id, owner: schedule.owner, error });
        decisions.push({ schedule, plan: postpone(schedule, now), task: undefined, reason: null });
      }
    }
    const wakeups: Wakeup[] = [];
    for (const { schedule, plan, task } of decisions) {
      if (task === undefined || !plan.cancel || schedule.lastTaskId === null) continue;
      wakeups.push(...((await cancelTask(trx, options, schedule.lastTaskId)) ?? []));
    }
    const tasks = decisions.flatMap(({ task }) => task ?? []);
    wakeups.push(...(await storeTasks(trx, options, tasks)));
    const firings = decisions.flatMap(toFirings);
    await recordFirings(trx, firings);
    await moveSchedules(trx, decisions);
    return {
      wakeups,
      started: tasks.length,
      skipped: firings.reduce((sum, { taskId, count }) => sum + (taskId === null ? count : 0), 0),
      latestMs: Math.max(
        0,
        ...decisions.map(({ task, plan }) => (task ? now.getTime() - (plan.fire?.getTime() ?? 0) : 0)),
      ),
      examined: claimed.length,
      failed,
    };
  });
}

interface Decision {
  schedule: Claimed;
  plan: Plan;
  task: NewTask | undefined;
  /** Why `plan.fire` starts no task. */
  reason: SkipReason | null;
}

function decide(
  schedule: Claimed,
  parts: { now: Date; agent: CurrentAgent; hasRoom: HasRoom; copyWebhook: CopyWebhook | undefined },
): Decision {
  const { now, agent, hasRoom, copyWebhook = keepWebhook } = parts;
  const plan = planSchedule(schedule, now);
  if (plan.fire === undefined) return { schedule, plan, task: undefined, reason: null };
  const task = createScheduledTask(schedule, plan.fire, agent, copyWebhook);
  const reason = hasRoom(task);
  return reason === undefined
    ? { schedule, plan, task, reason: null }
    : { schedule, plan, task: undefined, reason };
}

/** Leaves the due times of a schedule undecided for a minute. */
function postpone({ nextAt }: Claimed, now: Date): Plan {
  const wakeupAt = new Date(now.getTime() + 60_000);
  return { skipped: [], fire: undefined, cancel: false, nextAt, wakeupAt };
}

function toFirings({ schedule: { key }, plan, task, reason }: Decision): NewFiring[] {
  const firings = plan.skipped.map((skipped): NewFiring => ({
    key,
    manual: false,
    taskId: null,
    ...skipped,
  }));
  const { fire } = plan;
  if (fire === undefined) return firings;
  const taskId = task?.taskId ?? null;
  return [...firings, { key, dueAt: fire, until: fire, count: 1, manual: false, taskId, reason }];
}

interface Claimed extends Schedule {
  nextAt: Date;
  running: boolean;
  /** Why its template cannot be decrypted. */
  unreadable: Error | undefined;
}

function selectDue(db: Db | Transaction<Database>, { limit, copyWebhook }: FireOptions) {
  return db
    .selectFrom('schedules as s')
    .selectAll('s')
    .where('wakeup_at', '<=', sql<Date>`now()`)
    .where(mayFire(copyWebhook))
    .orderBy('wakeup_at')
    .limit(limit);
}

/** Loads the keys of schedules that are due: a transaction must not wait for them (invariant 8). */
async function loadKeys(db: Db, options: FireOptions): Promise<void> {
  const rows = await selectDue(db, options).execute();
  const load = async (row: ScheduleRow): Promise<void> => {
    await openTemplate(row);
    await createSealer([{ taskId: row.key, owner: row.owner }]);
  };
  // One that fails is reported by the transaction.
  await Promise.allSettled(rows.map(load));
}

/** Locks schedules that are due; other processes skip them. */
async function claimSchedules(trx: Transaction<Database>, options: FireOptions): Promise<Claimed[]> {
  const rows = await selectDue(trx, options)
    .select(
      sql<boolean>`exists (
        select from gates g where g.task_id = s.last_task_id and g.state_class < ${stateClass.terminal}
      )`.as('running'),
    )
    .forUpdate('s')
    .skipLocked()
    .execute();
  const running = new Map(rows.map((row) => [row.key, row.running]));
  const unreadable = new Map<string, Error>();
  const schedules = await withWebhooks(trx, rows, (row) =>
    openTemplate(row).catch((error: Error) => {
      unreadable.set(row.key, error);
      return row.template;
    }),
  );
  return schedules.map((schedule) => ({
    ...schedule,
    unreadable: unreadable.get(schedule.key),
    nextAt: schedule.nextAt ?? schedule.updatedAt,
    running: running.get(schedule.key) ?? false,
  }));
}

async function storeTasks(
  trx: Transaction<Database>,
  { wakeupGraceSeconds }: FireOptions,
  tasks: readonly NewTask[],
): Promise<Wakeup[]> {
  if (tasks.length === 0) return [];
  // A due time is decided once anyway, so there are no repeats to find.
  const stored = await acceptTasks(trx, { idempotencyWindowSeconds: 0, wakeupGraceSeconds }, tasks);
  await addOwnerUsage(trx, toAmounts(tasks));
  return stored.flatMap((wakeups) => wakeups ?? []);
}

async function moveSchedules(trx: Transaction<Database>, decisions: readonly Decision[]): Promise<void> {
  const input = inputRows('input', decisions, {
    key: uuid(({ schedule }) => schedule.key),
    next_at: timestamp(({ plan }) => plan.nextAt),
    wakeup_at: timestamp(({ plan }) => plan.wakeupAt),
    last_task_id: uuid(({ task }) => task?.taskId),
  });
  await sql`
    update schedules s set next_at = input.next_at, wakeup_at = input.wakeup_at,
      last_task_id = coalesce(input.last_task_id, s.last_task_id)
    from (${input}) input where s.key = input.key`.execute(trx);
}

const keepWebhook: CopyWebhook = (_key, _taskId, webhook) => webhook;
