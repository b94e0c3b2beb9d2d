/**
 * Creates, reads, changes and deletes the schedules of a caller. A change locks the row of the schedule, as the loops
 * do that decide its due times: it sees all of a decision or nothing.
 */
import { sql, type Transaction } from 'kysely';
import { uuidv7 } from '../../domain/ids.ts';
import type { Rhythm } from '../../domain/schedule.ts';
import { databaseNow } from '../../runtime/clock.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import type { Database } from '../schema/schema.ts';
import type { WebhookRow } from '../tasks/accept.ts';
import type { Caller } from '../tasks/visibility.ts';
import { areContentsEncrypted, createSealer } from '../contents/codec.ts';
import { storeConfig } from '../webhooks/configs.ts';
import { hasSecrets, ofCaller, toTemplatePlace, withWebhooks, type Schedule } from './rows.ts';
import { getNextDue } from './times.ts';

export interface ScheduleSettings extends Pick<
  Schedule,
  'id' | 'rhythm' | 'overlap' | 'catchUpSeconds' | 'paused' | 'template'
> {
  /** The webhook, with its secrets encrypted for the key of the schedule. */
  toWebhook: (key: string) => WebhookRow | null;
}

export type PutSchedule =
  | { kind: 'stored'; created: boolean; schedule: Schedule }
  /** The owner already has `max` schedules, over all its tenants; nothing was stored. */
  | { kind: 'too_many'; used: number };

/**
 * Creates a schedule, or replaces the one of this id. A schedule that keeps its times and was not paused keeps its next
 * due time.
 *
 * @param max schedules of the owner; 0: no limit
 */
export async function putSchedule(
  db: Db,
  caller: Caller,
  settings: ScheduleSettings,
  max: number,
): Promise<PutSchedule> {
  const place = toTemplatePlace({ ...caller, id: settings.id });
  const sealer = await createSealer([place]);
  const template = sealer.json('template', place.taskId, JSON.stringify(settings.template));
  await loadKeys(db, caller, settings.id);
  return runTransaction(db, async (trx) => {
    const existing = await lockSchedule(trx, caller, settings.id);
    if (existing === undefined && max > 0) {
      const used = await countSchedules(trx, caller.owner, max);
      if (used >= max) return { kind: 'too_many', used };
    }
    const key = existing?.key ?? uuidv7(databaseNow());
    const webhook = settings.toWebhook(key);
    const kept =
      existing !== undefined &&
      existing.nextAt !== null &&
      JSON.stringify(existing.rhythm) === JSON.stringify(settings.rhythm);
    const nextAt = settings.paused ? null : kept ? existing.nextAt : toFirstDue(settings.rhythm);
    const values = {
      ...toColumns(settings.rhythm),
      overlap: settings.overlap,
      catch_up_seconds: settings.catchUpSeconds,
      paused: settings.paused,
      template,
      has_secrets: hasSecrets(webhook),
      next_at: nextAt,
      wakeup_at: nextAt,
    };
    // A schedule of the same id that is created at the same time is waited for, and replaced.
    await trx
      .insertInto('schedules')
      .values({ key, id: settings.id, tenant: caller.tenant, owner: caller.owner, ...values })
      .onConflict((conflict) =>
        conflict.columns(['owner', 'tenant', 'id']).doUpdateSet({ ...values, updated_at: sql`now()` }),
      )
      .execute();
    const stored = await lockSchedule(trx, caller, settings.id);
    if (stored === undefined) throw new Error('a schedule that was just stored is missing');
    await trx.deleteFrom('webhook_configs').where('task_id', '=', stored.key).execute();
    const copy = stored.key === key ? webhook : settings.toWebhook(stored.key);
    if (copy !== null) await storeConfig(trx, caller, stored.key, copy);
    return {
      kind: 'stored',
      created: existing === undefined,
      schedule: { ...stored, webhook: copy },
    };
  });
}

export async function getSchedule(db: Db, caller: Caller, id: string): Promise<Schedule | undefined> {
  const rows = await selectSchedule(db, caller, id).execute();
  const [schedule] = await withWebhooks(db, rows);
  return schedule;
}

function selectSchedule(db: Db | Transaction<Database>, caller: Caller, id: string) {
  return db.selectFrom('schedules').selectAll().where(ofCaller(caller)).where('id', '=', id);
}

/** Returns a page of the caller's schedules, ordered by id. @param page `after` is the last id of the page before */
export async function listSchedules(
  db: Db,
  caller: Caller,
  page: { size: number; after: string },
): Promise<{ schedules: Schedule[]; next: string | undefined }> {
  const rows = await db
    .selectFrom('schedules')
    .selectAll()
    .where(ofCaller(caller))
    .where('id', '>', page.after)
    .orderBy('id')
    .limit(page.size + 1)
    .execute();
  const schedules = await withWebhooks(db, rows.slice(0, page.size));
  return { schedules, next: rows.length > page.size ? schedules.at(-1)?.id : undefined };
}

/** Pauses or resumes a schedule. While it is paused, it has no due times: nothing is caught up afterwards. */
export async function setPaused(
  db: Db,
  caller: Caller,
  id: string,
  paused: boolean,
): Promise<Schedule | undefined> {
  await loadKeys(db, caller, id);
  return runTransaction(db, async (trx) => {
    const schedule = await lockSchedule(trx, caller, id);
    if (schedule === undefined || schedule.paused === paused) return schedule;
    const nextAt = paused ? null : toFirstDue(schedule.rhythm);
    await trx
      .updateTable('schedules')
      .set({ paused, next_at: nextAt, wakeup_at: nextAt, updated_at: sql`now()` })
      .where('key', '=', schedule.key)
      .execute();
    return { ...schedule, paused, nextAt };
  });
}

/** Deletes a schedule with its history; its tasks stay. Returns false if the caller has no such schedule. */
export async function deleteSchedule(db: Db, caller: Caller, id: string): Promise<boolean> {
  return runTransaction(db, async (trx) => {
    const row = await selectSchedule(trx, caller, id).forUpdate().executeTakeFirst();
    if (row === undefined) return false;
    await deleteKeys(trx, [row.key]);
    return true;
  });
}

/** Deletes all schedules of an owner in one tenant. Returns how many. */
export async function deleteSchedulesOfOwner(db: Db, caller: Caller): Promise<number> {
  return runTransaction(db, async (trx) => {
    const rows = await trx
      .selectFrom('schedules')
      .select('key')
      .where(ofCaller(caller))
      .orderBy('key')
      .forUpdate()
      .execute();
    const keys = rows.map(({ key }) => key);
    if (keys.length > 0) await deleteKeys(trx, keys);
    return keys.length;
  });
}

/** Returns whether an owner has a schedule in any tenant. */
export async function hasSchedules(db: Db, owner: string): Promise<boolean> {
  const row = await db
    .selectFrom('schedules')
    .select('key')
    .where('owner', '=', owner)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Counts the schedules of each owner that has any. */
export async function countSchedulesOfOwners(db: Db): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('schedules')
    .select(['owner', ({ fn }) => fn.countAll<string>().as('count')])
    .groupBy('owner')
    .execute();
  return new Map(rows.map(({ owner, count }) => [owner, Number(count)]));
}

/** Counts the schedules of an owner in all its tenants, up to a number. */
async function countSchedules(trx: Transaction<Database>, owner: string, max: number): Promise<number> {
  const rows = await trx
    .selectFrom('schedules')
    .select('key')
    .where('owner', '=', owner)
    .limit(max)
    .execute();
  return rows.length;
}

async function deleteKeys(trx: Transaction<Database>, keys: readonly string[]): Promise<void> {
  await trx.deleteFrom('schedule_firings').where('schedule_key', 'in', keys).execute();
  await trx.deleteFrom('webhook_configs').where('task_id', 'in', keys).execute();
  await trx.deleteFrom('schedules').where('key', 'in', keys).execute();
}

/** Loads the keys of a schedule and its owner, if contents are encrypted: a transaction must not wait for it (invariant 8). */
export async function loadKeys(db: Db, caller: Caller, id: string): Promise<void> {
  if (!areContentsEncrypted()) return;
  const schedule = await getSchedule(db, caller, id);
  // For a task that the transaction stores.
  if (schedule !== undefined) await createSealer([{ taskId: schedule.key, owner: caller.owner }]);
}

/** Reads a schedule and locks its row. */
export async function lockSchedule(
  trx: Transaction<Database>,
  caller: Caller,
  id: string,
): Promise<Schedule | undefined> {
  const rows = await selectSchedule(trx, caller, id).forUpdate().execute();
  const [schedule] = await withWebhooks(trx, rows);
  return schedule;
}

function toFirstDue(rhythm: Rhythm): Date | null {
  return getNextDue(rhythm, new Date(databaseNow())) ?? null;
}

function toColumns(rhythm: Rhythm): {
  cron: string | null;
  time_zone: string | null;
  every_seconds: number | null;
} {
  return 'everySeconds' in rhythm
    ? { cron: null, time_zone: null, every_seconds: rhythm.everySeconds }
    : { cron: rhythm.cron, time_zone: rhythm.timeZone, every_seconds: null };
}
