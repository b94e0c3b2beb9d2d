/**
 * Lists and repeats the deliveries of a webhook config, for its owner (invariant 9). A redelivery has the
 * same id as the first delivery, and it enables a disabled config again.
 *
 * A test is a delivery numbered below the events: -1, -2 and so on. It is attempted once, and its failure
 * does not count. It neither delays events nor changes their attempts.
 */
import { sql, type RawBuilder, type Transaction } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { openText } from '../contents/codec.ts';
import { runTransaction } from '../client/transaction.ts';
import type { Database } from '../schema/schema.ts';
import { visibleTo, type Caller } from '../tasks/visibility.ts';
import type { ConfigKey } from './attempts/claim-rows.ts';
import { moveAttempts, restarted, selectAttempts } from './attempts/log.ts';
import { isPending } from './pending.ts';
import { hasWebhookConfig, lockGate, wakePendingDeliveries, type WebhookCallOptions } from './configs.ts';
import type { DeferralReason } from './attempts/settle.ts';
import { takeWebhookRequest } from './requests.ts';

export interface DeliveryView {
  /** The number of the event; negative for a test. */
  seq: number;
  state: DeliveryState;
  createdAt: Date;
  settledAt: Date | null;
  /** When the delivery is due, and why it was deferred if it was; null if it is settled. */
  due: { at: Date; deferredReason: DeferralReason | null } | null;
  /** The last 20 attempts, oldest first. */
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

const maxAttempts = 20;

/**
 * Returns a page of deliveries, the newest event first.
 *
 * @param page `before` is the number of the last event of the page before
 * @returns undefined if the config does not exist or is not the caller's
 */
export async function listDeliveries(
  db: Db,
  caller: Caller,
  key: ConfigKey,
  page: { size: number; before?: number | undefined; state?: string | undefined },
): Promise<{ deliveries: DeliveryView[]; next: number | undefined } | undefined> {
  if (!(await hasWebhookConfig(db, caller, key))) return undefined;
  const { rows } = await sql<{
    seq: number;
    state: DeliveryState;
    created_at: Date;
    settled_at: Date | null;
    due_at: Date;
    deferred_reason: DeferralReason | null;
    attempts: AttemptView[] | null;
  }>`
    select d.seq, d.state, d.created_at, d.settled_at, d.due_at, d.deferred_reason, log.attempts
    from deliveries d left join lateral (
      select json_agg(json_build_object('attempt', a.attempt, 'startedAt', a.started_at, 'durationMs', a.duration_ms,
        'status', a.status, 'error', a.error, 'responseStart', a.response_start) order by a.attempt) as attempts
      from (
        select * from ${selectAttempts(sql`a.task_id = d.task_id and a.config_id = d.config_id and a.seq = d.seq`)} a
        order by a.attempt desc limit ${maxAttempts}
      ) a
    ) log on true
    where d.task_id = ${key.taskId} and d.config_id = ${key.configId}
      and d.seq < ${page.before ?? 2_147_483_647} and (${page.state ?? null}::text is null or d.state = ${page.state ?? null})
    order by d.seq desc limit ${page.size + 1}`.execute(db);
  const toView = async (row: (typeof rows)[number]): Promise<DeliveryView> => ({
    seq: row.seq,
    state: row.state,
    createdAt: row.created_at,
    settledAt: row.settled_at,
    due: row.state === 'pending' ? { at: row.due_at, deferredReason: row.deferred_reason } : null,
    attempts: await Promise.all((row.attempts ?? []).map((attempt) => openAttempt(key.taskId, attempt))),
  });
  const deliveries = await Promise.all(rows.slice(0, page.size).map(toView));
  return { deliveries, next: rows.length > page.size ? deliveries.at(-1)?.seq : undefined };
}

/** Decrypts the start of the receiver's answer. */
export async function openAttempt<T extends AttemptView>(taskId: string, attempt: T): Promise<T> {
  return { ...attempt, responseStart: await openText('answer', taskId, attempt.responseStart) };
}

/** One event; or all events that failed since a time, and those that wait for a retry or were deferred. */
export type RedeliverTarget = { event: number } | { failedSince: Date };

/** Whether an event `d` failed since a time, or waits for a retry or was deferred. */
export function hasFailedSince(since: Date): RawBuilder<unknown> {
  return sql`(d.seq > 0 and ((d.state = 'failed' and d.settled_at >= ${since})
            or (d.state = 'pending' and d.due_at > now() and ${since}::timestamptz <= now())))`;
}

export type Redelivery =
  | { kind: 'scheduled'; count: number; wakeups: Wakeup[] }
  /** The config does not exist or is not the caller's. */
  | { kind: 'config_not_found' };

/**
 * Sends deliveries again, at once. An ordered config then sends everything that is pending, in order.
 *
 * @throws {TooManyWebhookRequestsError}
 */
export async function redeliver(
  db: Db,
  options: WebhookCallOptions,
  caller: Caller,
  key: ConfigKey,
  target: RedeliverTarget,
): Promise<Redelivery> {
  return changeDeliveries(db, options, caller, key, async (trx, { ordered }) => {
    const restart = async (condition: RawBuilder<unknown>) => {
      const chosen = sql`d.task_id = ${key.taskId} and d.config_id = ${key.configId} and ${condition}`;
      const { numAffectedRows } = await sql`
        with ${moveAttempts(chosen)}
        update deliveries d set ${restarted}, failures = 0, due_at = now(), thin = false, deferred_reason = null
        where ${chosen}`.execute(trx);
      return Number(numAffectedRows ?? 0n);
    };
    const count = await restart(
      'event' in target ? sql`d.seq = ${target.event}` : hasFailedSince(target.failedSince),
    );
    if (count === 0) return 0;
    if (ordered) await restart(sql`${isPending} and d.failures > 0`);
    await sql`
      update webhook_configs set failures = 0, disabled_at = null, disabled_reason = null
      where task_id = ${key.taskId} and id = ${key.configId}`.execute(trx);
    return count;
  });
}

/**
 * Sends a test at once.
 *
 * @returns a count of 0 if the config is disabled
 * @throws {TooManyWebhookRequestsError}
 */
export async function deliverTest(
  db: Db,
  options: WebhookCallOptions,
  caller: Caller,
  key: ConfigKey,
): Promise<Redelivery> {
  const isTest = sql`seq < 0`;
  return changeDeliveries(db, options, caller, { ...key, woken: isTest }, async (trx, { disabled }) => {
    if (disabled) return 0;
    await sql`
      insert into deliveries (task_id, config_id, seq, wakeup_at)
      select ${key.taskId}::uuid, ${key.configId}::text, -1 + least(0, min(seq)), now() from deliveries
      where task_id = ${key.taskId} and config_id = ${key.configId}`.execute(trx);
    return 1;
  });
}

type LockedConfig = { ordered: boolean; disabled: boolean };

/** @param key `woken`: the pending deliveries that get a wake-up; default: all */
async function changeDeliveries(
  db: Db,
  options: WebhookCallOptions,
  caller: Caller,
  key: ConfigKey & { woken?: RawBuilder<unknown> },
  change: (trx: Transaction<Database>, config: LockedConfig) => Promise<number>,
): Promise<Redelivery> {
  return runTransaction(db, async (trx): Promise<Redelivery> => {
    // A statement that creates events at the same time runs again with the changed config (see configs.ts).
    const gate = await lockGate(trx, caller, key.taskId);
    if (gate === undefined) return { kind: 'config_not_found' };
    // Writes a new version of the row, so that claims that wait for the lock see that the queue has changed
    // (see attempts/claim.ts).
    const { rows } = await sql<LockedConfig>`
      update webhook_configs set failures = failures where task_id = ${key.taskId} and id = ${key.configId}
      returning ordered, disabled_at is not null as disabled`.execute(trx);
    if (rows[0] === undefined) return { kind: 'config_not_found' };
    const count = await change(trx, rows[0]);
    if (count === 0) return { kind: 'scheduled', count, wakeups: [] };
    await takeWebhookRequest(trx, caller.owner, options.webhookRequestsPerMinute);
    return { kind: 'scheduled', count, wakeups: await wakePendingDeliveries(trx, options, key, key.woken) };
  });
}

/** Replaces the signing secret. The previous one signs too, for `overlapSeconds`. Both are encrypted. */
export async function setSigningSecret(
  db: Db,
  caller: Caller,
  key: ConfigKey,
  secret: { encrypted: string; overlapSeconds: number },
): Promise<'set' | 'config_not_found'> {
  const { rows } = await sql`
    update webhook_configs c set
      previous_secret = c.signing_secret,
      previous_secret_until = now() + ${seconds(secret.overlapSeconds)},
      signing_secret = ${secret.encrypted}
    from tasks t
    where c.task_id = ${key.taskId} and c.id = ${key.configId} and t.id = c.task_id and ${visibleTo(caller)}
    returning c.id`.execute(db);
  return rows.length === 0 ? 'config_not_found' : 'set';
}
