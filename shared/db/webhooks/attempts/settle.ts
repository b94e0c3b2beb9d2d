/**
 * Writes the outcomes of attempts at deliveries in one statement, so that no lock waits for this process:
 *
 *   lock configs ──▶ settle (fenced) ──▶ log the attempts, count failures, merge what waits behind a failure, wake retries
 */
import { sql, type RawBuilder } from 'kysely';
import { maxLateness, type DeliveryWakeup } from '../../../domain/wakeup.ts';
import { fewRows, seconds } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { areContentsEncrypted, createSealerOfTasks } from '../../contents/codec.ts';
import { boolean, float, int, rows as toRows, text, timestamp, uuid } from '../../client/rows.ts';
import { insertOutbox } from '#shared/db/outbox/outbox.ts';
import type { ClaimedDelivery } from './claim-rows.ts';
import { isPending } from '../pending.ts';
import { mergeWaiting } from './coalesce.ts';

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
  /** Whether the event is the last one of its task, which has ended. Default: not known. */
  isLast?: boolean;
  /** Whether the caller attempts the next delivery of this config, if one is due. */
  mayContinue: boolean;
  /** The id of the claim of the next delivery: the same for all tries of a record, and used for no other. */
  nextClaimId: string;
}

type DeliveryKey = Pick<ClaimedDelivery, 'taskId' | 'configId' | 'seq'>;

export function toDeliveryText({ taskId, configId, seq }: DeliveryKey): string {
  return JSON.stringify([taskId, configId, seq]);
}

interface Row {
  task_id: string;
  config_id: string;
  /** Null for a wake-up, which has the columns after it. */
  seq: number | null;
  waits: boolean | null;
  wakeup_id: string | null;
  due_at: Date | null;
}

/**
 * Settles the attempts whose fence is still current. The configs are locked and written in the same statement, so a
 * claim that waited for it finds a new version of its config (claim.ts).
 *
 * @returns by `toDeliveryText`, `counted`: those attempts, and `waiting`: those of them that are the heads of their ordered
 *   queues, of which nothing is due before their retry; and a wake-up for each retry
 */
export async function settleAttempts(
  db: Db,
  wakeupGraceSeconds: number,
  unsealed: readonly Attempt[],
): Promise<{ counted: Set<string>; waiting: Set<string>; wakeups: DeliveryWakeup[] }> {
  const attempts = areContentsEncrypted() ? await sealAnswers(unsealed) : unsealed;
  const hasRetries = attempts.some(({ outcome }) => 'delaySeconds' in outcome);
  const merges = attempts.some(delaysQueue);
  // Failures are few, and one plan would not suit queues of every length.
  const { rows } = await sql<Row>`${sql.raw(merges ? '' : '-- prepared, quick\n')}
    with input as (${inputRows(attempts)} ${fewRows(attempts.length)}),
    -- Configs are locked before deliveries, here and wherever both change.
    config as (
      select c.task_id, c.id, c.ordered, c.xmin as version
      from (select distinct task_id, config_id from input) key
      join webhook_configs c on c.task_id = key.task_id and c.id = key.config_id
      order by c.task_id, c.id for update of c
    ),
    -- Attempts that still count: the delivery is leased and pending, and its fence has not been raised since the claim.
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
        claim_id = null,
        started_at = case when input.outcome = 'delivered' then input.started_at end,
        duration_ms = case when input.outcome = 'delivered' then input.duration_ms end,
        status = case when input.outcome = 'delivered' then input.status end,
        response_start = case when input.outcome = 'delivered' then input.response_start end,
        -- Whole milliseconds, so that a wake-up for this time is not a fraction early.
        due_at = case when input.delay is null then d.due_at
          else date_trunc('milliseconds', now() + ${seconds(sql`input.delay`)}) end,
        -- The wake-up of a long delay may be late by a sixteenth of it (maxLateness).
        wakeup_at = now() + ${seconds(sql`coalesce(input.delay, 0) * ${1 + maxLateness}::float8 + ${wakeupGraceSeconds}`)}
      from input join config on config.task_id = input.task_id and config.id = input.config_id
      where d.task_id = input.task_id and d.config_id = input.config_id and d.seq = input.seq
        and ${isPending} and d.fence = input.fence and d.lease_until is not null
      returning input.*, d.due_at, config.ordered, config.version
    ),
    -- The log of attempts, for the owner (log.ts).
    logged as (
      insert into delivery_attempts
        (task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start)
      select task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start from settled
      where outcome not in ('delivered', 'deferred')
    ),
    -- An ordered config is written even if nothing changes, so that claims that waited find a new version.
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
        and (c.ordered or c.failures > 0 or result.failed > 0)
    )
    ${merges ? sql`, ${mergeWaiting(sql`(select distinct task_id, config_id from settled where merges)`)}` : sql``}
    ${hasRetries ? sql`, ${wakeRetries}` : sql``}
    select task_id, config_id, seq, ${hasRetries ? waits : sql`false`} as waits, null::bigint as wakeup_id,
      null::timestamptz as due_at
    from settled
    ${hasRetries ? sql`union all select task_id, config_id, null, null, id, due_at from wakeup` : sql``}`.execute(
    db,
  );
  const counted = new Set<string>();
  const waiting = new Set<string>();
  const wakeups: DeliveryWakeup[] = [];
  for (const {
    task_id: taskId,
    config_id: configId,
    seq,
    waits: isWaiting,
    wakeup_id: id,
    due_at: dueAt,
  } of rows) {
    if (id !== null && dueAt !== null) wakeups.push({ id, kind: 'delivery', taskId, configId, dueAt });
    if (seq === null) continue;
    const key = toDeliveryText({ taskId, configId, seq });
    counted.add(key);
    if (isWaiting === true) waiting.add(key);
  }
  return { counted, waiting, wakeups };
}

/** A receiver may answer with what it was sent. */
export async function sealAnswers(attempts: readonly Attempt[]): Promise<readonly Attempt[]> {
  const sealer = await createSealerOfTasks(attempts.map(({ delivery }) => delivery.taskId));
  const seal = ({ delivery: { taskId }, responseStart }: Attempt): string | null =>
    // The statement finds no delivery of a task that was removed.
    sealer.getKey(taskId) === undefined ? null : sealer.text('answer', taskId, responseStart);
  return attempts.map((attempt) => ({ ...attempt, responseStart: seal(attempt) }));
}

/** Columns of an attempt in the statements that record it. */
export const attemptColumns = {
  task_id: uuid(({ delivery }: Attempt) => delivery.taskId),
  config_id: text(({ delivery }: Attempt) => delivery.configId),
  seq: int(({ delivery }: Attempt) => delivery.seq),
  fence: int(({ delivery }: Attempt) => delivery.fence),
  attempt: int(({ delivery }: Attempt) => delivery.attempt),
  started_at: timestamp((attempt: Attempt) => attempt.startedAt),
  duration_ms: int((attempt: Attempt) => attempt.durationMs),
  status: int((attempt: Attempt) => attempt.status),
  response_start: text((attempt: Attempt) => attempt.responseStart),
};

function inputRows(attempts: readonly Attempt[]): RawBuilder<unknown> {
  return toRows('input', attempts, {
    ...attemptColumns,
    error: text((attempt) => attempt.error),
    outcome: text(({ outcome }) => outcome.kind),
    delay: float(({ outcome }) => ('delaySeconds' in outcome ? outcome.delaySeconds : null)),
    reason: text(({ outcome }) => (outcome.kind === 'abandoned' ? outcome.reason : null)),
    deferred_reason: text(({ outcome }) => (outcome.kind === 'deferred' ? outcome.reason : null)),
    merges: boolean(delaysQueue),
  });
}

/** Whether failures of this delivery delay later events, of which some may be merged. */
function delaysQueue({ delivery: { config, failures }, outcome }: Attempt): boolean {
  return config.ordered && config.events === 'all' && (outcome.kind === 'retry' || failures > 0);
}

/**
 * Whether a retry or a deferral is the head of an ordered config. A redelivery or a test would be before it, and changes the
 * config: if this statement waited for one, it does not see it, and the version differs (claim.ts).
 */
const waits = sql`coalesce(
      delay is not null and ordered and seq > 0 and version = (
        select seen.xmin from webhook_configs seen where seen.task_id = settled.task_id and seen.id = settled.config_id
      ) and not exists (
        select from deliveries d
        where d.task_id = settled.task_id and d.config_id = settled.config_id and ${isPending} and d.seq < settled.seq
      ), false)`;

const wakeRetries = sql`
    wakeup as (
      ${insertOutbox({ kind: 'delivery', from: sql`settled where delay is not null`, dueAt: sql`greatest(due_at, now())` })}
      returning id, task_id, config_id, due_at
    )`;

/**
 * Finds attempts that an earlier statement has settled although its answer was lost. Settling keeps the fence and
 * removes the lease; any other change that removes a lease raises the fence.
 *
 * @returns by `toDeliveryText`
 */
export async function findSettled(db: Db, attempts: readonly Attempt[]): Promise<Set<string>> {
  const input = toRows('input', attempts, {
    task_id: uuid(({ delivery }) => delivery.taskId),
    config_id: text(({ delivery }) => delivery.configId),
    seq: int(({ delivery }) => delivery.seq),
    fence: int(({ delivery }) => delivery.fence),
  });
  const { rows } = await sql<DeliveryKey>`
    select d.task_id as "taskId", d.config_id as "configId", d.seq
    from (${input}) input
    join deliveries d on d.task_id = input.task_id and d.config_id = input.config_id and d.seq = input.seq
    where d.fence = input.fence and d.lease_until is null`.execute(db);
  return new Set(rows.map(toDeliveryText));
}
