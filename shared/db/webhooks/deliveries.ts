/**
 * The deliveries of a webhook config as its owner sees them (invariant 9), and has them made again. What is to be sent
 * again becomes pending again, under the id that it had; a config that was given up is alive again with it.
 *
 * A test is a delivery below the events, numbered -1, -2 …: it is attempted once, and its failure means nothing.
 */
import { sql, type Transaction } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import type { Database } from '../schema/schema.ts';
import type { Caller } from '../tasks/read.ts';
import { isConfigOf, lockGate, wakePendingDeliveries } from './configs.ts';

export interface DeliveryView {
  /** The number of the event; negative for a test. */
  seq: number;
  state: DeliveryState;
  createdAt: Date;
  settledAt: Date | null;
  /** The newest ones, the first of them first. */
  attempts: AttemptView[];
}

export const deliveryStates = ['pending', 'delivered', 'failed', 'cancelled', 'merged'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

export interface AttemptView {
  attempt: number;
  startedAt: string;
  durationMs: number;
  status: number | null;
  error: string | null;
  responseStart: string | null;
}

const shownAttempts = 20;

/**
 * A page of deliveries, the newest event first.
 *
 * @param page `before` is the number of the last event of the page before
 * @returns undefined where the config is not the caller's, or is not at all
 */
export async function listDeliveries(
  db: Db,
  caller: Caller,
  key: { taskId: string; configId: string },
  page: { size: number; before?: number | undefined; state?: string | undefined },
): Promise<{ deliveries: DeliveryView[]; next: number | undefined } | undefined> {
  if (!(await isConfigOf(db, caller, key.taskId, key.configId))) return undefined;
  const { rows } = await sql<{
    seq: number;
    state: DeliveryState;
    created_at: Date;
    settled_at: Date | null;
    attempts: AttemptView[] | null;
  }>`
    select d.seq, d.state, d.created_at, d.settled_at, made.attempts
    from deliveries d left join lateral (
      select json_agg(json_build_object('attempt', a.attempt, 'startedAt', a.started_at, 'durationMs', a.duration_ms,
        'status', a.status, 'error', a.error, 'responseStart', a.response_start) order by a.attempt) as attempts
      from (
        select * from delivery_attempts a
        where a.task_id = d.task_id and a.config_id = d.config_id and a.seq = d.seq
        order by a.attempt desc limit ${shownAttempts}
      ) a
    ) made on true
    where d.task_id = ${key.taskId} and d.config_id = ${key.configId}
      and d.seq < ${page.before ?? 2_147_483_647} and (${page.state ?? null}::text is null or d.state = ${page.state ?? null})
    order by d.seq desc limit ${page.size + 1}`.execute(db);
  const deliveries = rows.slice(0, page.size).map((row) => ({
    seq: row.seq,
    state: row.state,
    createdAt: row.created_at,
    settledAt: row.settled_at,
    attempts: row.attempts ?? [],
  }));
  return { deliveries, next: rows.length > page.size ? deliveries.at(-1)?.seq : undefined };
}

/** What is to be sent again: one event, or all that failed since a time. */
export type Again = { event: number } | { failedSince: Date };

export type SendAgain =
  | { kind: 'rung'; count: number; wakeups: Wakeup[] }
  /** The config is not the caller's, or is not at all. */
  | { kind: 'no config' };

/** Has deliveries made again, at once and in their order. */
export async function deliverAgain(
  db: Db,
  options: { wakeupGraceSeconds: number },
  caller: Caller,
  key: { taskId: string; configId: string },
  again: Again,
): Promise<SendAgain> {
  return changeConfig(db, options, caller, key, async (trx) => {
    const which =
      'event' in again
        ? sql`d.seq = ${again.event}`
        : sql`d.state = 'failed' and d.seq > 0 and d.settled_at >= ${again.failedSince}`;
    const { numAffectedRows } = await sql`
      update deliveries d set state = 'pending', settled_at = null, failures = 0, due_at = null, lease_until = null
      where d.task_id = ${key.taskId} and d.config_id = ${key.configId} and ${which}`.execute(trx);
    const count = Number(numAffectedRows ?? 0n);
    if (count > 0) await revive(trx, key);
    return count;
  });
}

/** Has a test sent, at once. @returns a count of 0 where the config is disabled */
export async function deliverTest(
  db: Db,
  options: { wakeupGraceSeconds: number },
  caller: Caller,
  key: { taskId: string; configId: string },
): Promise<SendAgain> {
  return changeConfig(db, options, caller, key, async (trx) => {
    const { numAffectedRows } = await sql`
      with config as (
        update webhook_configs c set next_attempt_at = now()
        where c.task_id = ${key.taskId} and c.id = ${key.configId} and c.disabled_at is null
        returning c.task_id, c.id
      )
      insert into deliveries (task_id, config_id, seq, wakeup_at)
      select task_id, id, -1 + least(0, (
        select min(d.seq) from deliveries d where d.task_id = config.task_id and d.config_id = config.id
      )), now()
      from config`.execute(trx);
    return Number(numAffectedRows ?? 0n);
  });
}

async function changeConfig(
  db: Db,
  options: { wakeupGraceSeconds: number },
  caller: Caller,
  { taskId, configId }: { taskId: string; configId: string },
  change: (trx: Transaction<Database>) => Promise<number>,
): Promise<SendAgain> {
  return db.transaction().execute(async (trx): Promise<SendAgain> => {
    // An event that is made at this moment sees the config as it is afterwards (see webhook-configs.ts).
    const gate = await lockGate(trx, caller, taskId);
    if (gate === undefined || !(await isConfigOf(trx, caller, taskId, configId)))
      return { kind: 'no config' };
    const count = await change(trx);
    const wakeups = count === 0 ? [] : await wakePendingDeliveries(trx, options, taskId, configId);
    return { kind: 'rung', count, wakeups };
  });
}

async function revive(
  trx: Transaction<Database>,
  { taskId, configId }: { taskId: string; configId: string },
): Promise<void> {
  await sql`
    update webhook_configs set failures = 0, next_attempt_at = now(), disabled_at = null, disabled_reason = null
    where task_id = ${taskId} and id = ${configId}`.execute(trx);
}

/** Has a new secret sign, and the one before as well for a while. All encrypted. */
export async function setSigningSecret(
  db: Db,
  caller: Caller,
  key: { taskId: string; configId: string },
  secret: { encrypted: string; overlapSeconds: number },
): Promise<'set' | 'no config'> {
  const { rows } = await sql`
    update webhook_configs c set
      previous_secret = c.signing_secret,
      previous_secret_until = now() + ${secret.overlapSeconds} * interval '1 second',
      signing_secret = ${secret.encrypted}
    from tasks t
    where c.task_id = ${key.taskId} and c.id = ${key.configId} and t.id = c.task_id
      and t.tenant = ${caller.tenant} and t.owner = ${caller.owner} and (t.shown or not t.direct)
    returning c.id`.execute(db);
  return rows.length === 0 ? 'no config' : 'set';
}
