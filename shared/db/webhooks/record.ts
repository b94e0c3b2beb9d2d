/**
 * Records attempts at deliveries, and makes sure that the next delivery follows: the caller continues with
 * it, or a wake-up is written for it. claim.ts describes the states of a delivery, and why none is missed.
 *
 *   settle (fenced) ──▶ fail or merge what waits behind ──▶ claim the next ──▶ write wake-ups for the rest
 *
 * Each step is a statement of one transaction. The first locks the configs, so the others see everything that
 * was committed before a wake-up was dropped.
 */
import { sql } from 'kysely';
import type { DeliveryWakeup } from '../../domain/wakeup.ts';
import { createBatcher } from '../client/batcher.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { float, int, rows as toRows, text, timestamp, uuid } from '../client/rows.ts';
import { insertOutbox } from '../outbox/outbox.ts';
import {
  claimDeliveries,
  toConfigRows,
  toConfigText,
  type ClaimedDelivery,
  type ClaimRequest,
  type ClaimedQueue,
  type ConfigKey,
} from './claim.ts';
import { coalescePending } from './coalesce.ts';

export type AttemptOutcome =
  | { kind: 'delivered' }
  | { kind: 'retry'; delaySeconds: number }
  /** The config is disabled: this delivery and all that are pending fail. */
  | { kind: 'abandoned'; reason: string }
  /** No attempt was made. */
  | { kind: 'deferred'; delaySeconds: number; reason: DeferralReason }
  /** A test is not repeated, and does not count for or against the config. */
  | { kind: 'test_failed' };

export type DeferralReason =
  /** The owner has its share of the attempts in flight. */
  | 'owner_busy'
  /** The host of the receiver has as many attempts in flight as it gets. */
  | 'host_busy'
  /** The receiver keeps failing, and is probed. */
  | 'receiver_failing'
  /** The owner has sent the bytes that it may send in this hour. */
  | 'bytes_used_up';

export interface Attempt {
  delivery: ClaimedDelivery;
  startedAt: Date;
  durationMs: number;
  /** The HTTP status, or null if the receiver did not answer. */
  status: number | null;
  error: string | null;
  responseStart: string | null;
  outcome: AttemptOutcome;
  /** Whether the caller attempts the next delivery of this config, if one is due. */
  mayContinue: boolean;
}

export interface Recorded {
  wakeups: DeliveryWakeup[];
  /** The next delivery, already claimed, or undefined if none is due. */
  next: ClaimedDelivery | undefined;
}

/**
 * Resolves to undefined if the attempt no longer counts: its config was changed or deleted, or its lease was
 * lost.
 */
export type RecordAttempt = (attempt: Attempt) => Promise<Recorded | undefined>;

interface Options {
  leaseSeconds: number;
  wakeupGraceSeconds: number;
}

export function createAttemptRecorder(db: Db, options: Options): RecordAttempt {
  return createBatcher((attempts: readonly Attempt[]) => record(db, options, attempts), {
    max: 256,
    key: ({ delivery }) => toDeliveryText(delivery),
  });
}

function toDeliveryText({ taskId, configId, seq }: ClaimedDelivery): string {
  return JSON.stringify([taskId, configId, seq]);
}

async function record(
  db: Db,
  options: Options,
  attempts: readonly Attempt[],
): Promise<(Recorded | undefined)[]> {
  return runTransaction(db, async (trx) => {
    const settled = await settle(trx, options.wakeupGraceSeconds, attempts);
    if (settled.length === 0) return attempts.map(() => undefined);
    const abandoned = settled.filter(({ outcome }) => outcome.kind === 'abandoned');
    if (abandoned.length > 0) await failPending(trx, abandoned);
    const delayed = settled.filter(delaysQueue);
    if (delayed.length > 0) await coalescePending(trx, delayed);

    const requests = toClaimRequests(settled);
    const queues = await claimDeliveries(trx, options.leaseSeconds, requests);
    const wakeups = await writeWakeups(
      trx,
      options.wakeupGraceSeconds,
      toDueTimes(settled, requests, queues),
    );
    const recorded = new Map<string, Recorded>();
    for (const { delivery, mayContinue } of settled) {
      const config = toConfigText(delivery);
      const next = mayContinue ? queues.get(config)?.deliveries.shift() : undefined;
      recorded.set(toDeliveryText(delivery), { wakeups: wakeups.get(config) ?? [], next });
      // Each wake-up is published once, even if several attempts of the set belong to its config.
      wakeups.delete(config);
    }
    return attempts.map(({ delivery }) => recorded.get(toDeliveryText(delivery)));
  });
}

/** An attempt that counts. */
interface Settled extends Attempt {
  /** When the delivery is attempted again, or null if this was the last attempt. */
  retryAt: Date | null;
}

/**
 * Writes the outcomes of the attempts whose fence is still current, and locks their configs.
 *
 * @returns those attempts
 */
async function settle(db: Db, wakeupGraceSeconds: number, attempts: readonly Attempt[]): Promise<Settled[]> {
  const { rows } = await sql<{ task_id: string; config_id: string; seq: number; retry_at: Date | null }>`
    with input as (${toRows('input', attempts, {
      task_id: uuid(({ delivery }) => delivery.taskId),
      config_id: text(({ delivery }) => delivery.configId),
      seq: int(({ delivery }) => delivery.seq),
      fence: int(({ delivery }) => delivery.fence),
      attempt: int(({ delivery }) => delivery.attempt),
      started_at: timestamp((attempt) => attempt.startedAt),
      duration_ms: int((attempt) => attempt.durationMs),
      status: int((attempt) => attempt.status),
      error: text((attempt) => attempt.error),
      response_start: text((attempt) => attempt.responseStart),
      outcome: text(({ outcome }) => outcome.kind),
      delay: float(({ outcome }) => ('delaySeconds' in outcome ? outcome.delaySeconds : null)),
      reason: text(({ outcome }) => (outcome.kind === 'abandoned' ? outcome.reason : null)),
      deferred_reason: text(({ outcome }) => (outcome.kind === 'deferred' ? outcome.reason : null)),
    })}),
    -- Configs are locked before deliveries, here and wherever both change.
    config as (
      select c.task_id, c.id from webhook_configs c
      where (c.task_id, c.id) in (select task_id, config_id from input)
      order by c.task_id, c.id for update
    ),
    -- Attempts that still count: the delivery is pending, and its fence has not been raised since the claim.
    settled as (
      update deliveries d set
        state = case when input.outcome = 'delivered' then 'delivered' when input.delay is not null then 'pending'
          else 'failed' end,
        settled_at = case when input.delay is null then now() end,
        attempts = d.attempts - (input.outcome = 'deferred')::int,
        failures = d.failures + (input.outcome = 'retry')::int,
        deferred_reason = input.deferred_reason,
        thin = d.thin or coalesce(input.status = 413, false),
        lease_until = null,
        -- Whole milliseconds, so that a wake-up for this time is not a fraction early.
        due_at = case when input.delay is null then d.due_at
          else date_trunc('milliseconds', now() + ${seconds(sql`input.delay`)}) end,
        wakeup_at = now() + ${seconds(sql`coalesce(input.delay, 0) + ${wakeupGraceSeconds}`)}
      from input join config on config.task_id = input.task_id and config.id = input.config_id
      where d.task_id = input.task_id and d.config_id = input.config_id and d.seq = input.seq
        and d.state = 'pending' and d.fence = input.fence
      returning input.*, d.due_at
    ),
    -- The log of attempts, for the owner.
    logged as (
      insert into delivery_attempts
        (task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start)
      select task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start from settled
      where outcome <> 'deferred'
    ),
    -- Written even if nothing changes, so that claims that waited find a new version (see claim.ts).
    updated as (
      update webhook_configs c set
        failures = case when result.delivered then 0 else c.failures + result.failed end,
        disabled_at = case when result.reason is null then c.disabled_at else now() end,
        disabled_reason = coalesce(result.reason, c.disabled_reason)
      from (
        select task_id, config_id, bool_or(outcome = 'delivered' and seq > 0) as delivered, max(reason) as reason,
          (count(*) filter (where outcome in ('retry', 'abandoned')))::int as failed
        from settled group by task_id, config_id
      ) result
      where c.task_id = result.task_id and c.id = result.config_id
    )
    select task_id, config_id, seq, case when delay is not null then due_at end as retry_at from settled`.execute(
    db,
  );
  const retryTimes = new Map(
    rows.map((row) => [JSON.stringify([row.task_id, row.config_id, row.seq]), row.retry_at]),
  );
  return attempts.flatMap((attempt) => {
    const retryAt = retryTimes.get(toDeliveryText(attempt.delivery));
    return retryAt === undefined ? [] : [{ ...attempt, retryAt }];
  });
}

/**
 * Fails all pending deliveries of the configs that these attempts disabled. Other attempts in flight no
 * longer count.
 */
async function failPending(db: Db, abandoned: readonly Settled[]): Promise<void> {
  await sql`
    with input as (${toConfigRows(abandoned)})
    update deliveries d set state = 'failed', settled_at = now(), fence = d.fence + 1, lease_until = null
    from input where d.task_id = input.task_id and d.config_id = input.config_id and d.state = 'pending'`.execute(
    db,
  );
}

/** Whether failures of this delivery delay later events, of which some may be merged. */
function delaysQueue({ delivery: { config, failures }, outcome }: Settled): boolean {
  return config.ordered && config.events === 'all' && (outcome.kind === 'retry' || failures > 0);
}

/** Builds one request for each config, for as many deliveries as callers may continue with. */
function toClaimRequests(settled: readonly Settled[]): ClaimRequest[] {
  const requests = new Map<string, ClaimRequest>();
  for (const { delivery, mayContinue } of settled) {
    const { taskId, configId } = delivery;
    const limit = (requests.get(toConfigText(delivery))?.limit ?? 0) + Number(mayContinue);
    requests.set(toConfigText(delivery), { taskId, configId, limit });
  }
  return [...requests.values()];
}

type DueTime = ConfigKey & { dueAt: Date };

/** Returns when wake-ups are due: at each retry, and now for each queue that no caller continues with. */
function toDueTimes(
  settled: readonly Settled[],
  requests: readonly ClaimRequest[],
  queues: ReadonlyMap<string, ClaimedQueue>,
): DueTime[] {
  const retries = settled.flatMap(({ delivery: { taskId, configId }, retryAt }) =>
    retryAt === null ? [] : [{ taskId, configId, dueAt: retryAt }],
  );
  const waiting = requests.flatMap(({ taskId, configId }) => {
    const queue = queues.get(toConfigText({ taskId, configId }));
    return queue?.deliveries.length === 0 && queue.waitMs === 0
      ? [{ taskId, configId, dueAt: new Date(0) }]
      : [];
  });
  return [...retries, ...waiting];
}

/** @returns by `toConfigText` */
async function writeWakeups(
  db: Db,
  wakeupGraceSeconds: number,
  times: readonly DueTime[],
): Promise<Map<string, DeliveryWakeup[]>> {
  if (times.length === 0) return new Map();
  const { rows } = await sql<{ id: string; task_id: string; config_id: string; due_at: Date }>`
    with input as (${toRows('input', times, {
      task_id: uuid((time) => time.taskId),
      config_id: text((time) => time.configId),
      due_at: timestamp((time) => time.dueAt),
    })}),
    -- The reconciler may have postponed deliveries that waited for an attempt until the end of its lease.
    moved as (
      update deliveries d set wakeup_at = least(d.wakeup_at, now() + ${seconds(wakeupGraceSeconds)})
      from (select distinct task_id, config_id from input where due_at <= now()) left_over
      where d.task_id = left_over.task_id and d.config_id = left_over.config_id and d.state = 'pending'
    )
    ${insertOutbox({ kind: 'delivery', from: sql`input`, dueAt: sql`greatest(due_at, now())` })}
    returning id, task_id, config_id, due_at`.execute(db);
  return Map.groupBy(
    rows.map((row): DeliveryWakeup => ({
      id: row.id,
      kind: 'delivery',
      taskId: row.task_id,
      configId: row.config_id,
      dueAt: row.due_at,
    })),
    toConfigText,
  );
}
