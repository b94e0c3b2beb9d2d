/**
 * Recording attempts at deliveries, and ringing for what comes next in the queue of their config. The states, and why no
 * wake-up is lost, stand in deliveries.ts.
 */
import { sql } from 'kysely';
import { freshClaim, type DeliveryBell } from './bells.ts';
import { combine } from './combiner.ts';
import type { Db } from './database.ts';
import { mergeWaiting } from './merge-deliveries.ts';
import { keyText, type ClaimedDelivery, type ConfigKey } from './deliveries.ts';

/** What becomes of a delivery after an attempt. */
export type AttemptOutcome =
  | { kind: 'delivered' }
  | { kind: 'retry'; delaySeconds: number }
  /** The config is disabled: this delivery and all that wait behind it have failed. */
  | { kind: 'given up'; reason: string }
  /** No attempt was made: its host has no place for it now. */
  | { kind: 'put off'; delaySeconds: number }
  /** A test is not repeated, and says nothing about the config. */
  | { kind: 'test failed' };

export interface Attempt {
  delivery: Pick<ClaimedDelivery, 'taskId' | 'configId' | 'seq' | 'attempt' | 'fence' | 'failures'>;
  startedAt: Date;
  durationMs: number;
  /** The HTTP status, where the receiver answered. */
  status: number | null;
  error: string | null;
  responseStart: string | null;
  outcome: AttemptOutcome;
}

/** The bells to ring, or undefined where the config was changed, deleted or taken over meanwhile: nothing was written. */
export type RecordAttempt = (attempt: Attempt) => Promise<DeliveryBell[] | undefined>;

export function recordAttempts(db: Db, options: { bellGraceSeconds: number }): RecordAttempt {
  return combine((attempts: readonly Attempt[]) => record(db, options.bellGraceSeconds, attempts), {
    max: 256,
    key: (attempt) => keyText(attempt.delivery),
  });
}

async function record(
  db: Db,
  bellGraceSeconds: number,
  attempts: readonly Attempt[],
): Promise<(DeliveryBell[] | undefined)[]> {
  const [recorded, bells] = await db.transaction().execute(async (trx) => {
    const recorded = await settle(trx, attempts);
    const held = new Set(recorded.map(keyText));
    const late = attempts.flatMap(({ delivery, outcome }) =>
      held.has(keyText(delivery)) && (outcome.kind === 'retry' || delivery.failures > 0) ? [delivery] : [],
    );
    if (late.length > 0) await mergeWaiting(trx, late);
    return [recorded, recorded.length === 0 ? [] : await ringForNext(trx, bellGraceSeconds, recorded)];
  });
  const held = new Set(recorded.map(keyText));
  return attempts.map(({ delivery }) =>
    held.has(keyText(delivery))
      ? bells.filter((bell) => bell.taskId === delivery.taskId && bell.configId === delivery.configId)
      : undefined,
  );
}

/** Attempts as rows: `task_id, config_id, seq, attempt, fence, …, outcome, delay, reason`. */
export function attemptInput(attempts: readonly Attempt[]) {
  const sorted = attempts.toSorted((a, b) => (keyText(a.delivery) < keyText(b.delivery) ? -1 : 1));
  const column = <T>(of: (attempt: Attempt) => T) => sorted.map(of);
  return sql`
      select * from unnest(
        ${column((one) => one.delivery.taskId)}::uuid[], ${column((one) => one.delivery.configId)}::text[],
        ${column((one) => one.delivery.seq)}::int[], ${column((one) => one.delivery.attempt)}::int[],
        ${column((one) => one.delivery.fence)}::bigint[], ${column((one) => one.startedAt)}::timestamptz[],
        ${column((one) => one.durationMs)}::int[], ${column((one) => one.status)}::int[],
        ${column((one) => one.error)}::text[], ${column((one) => one.responseStart)}::text[],
        ${column((one) => one.outcome.kind)}::text[],
        ${column((one) => ('delaySeconds' in one.outcome ? one.outcome.delaySeconds : null))}::float8[],
        ${column((one) => (one.outcome.kind === 'given up' ? one.outcome.reason : null))}::text[]
      ) as input (
        task_id, config_id, seq, attempt, fence, started_at, duration_ms, status, error, response_start, outcome, delay,
        reason
      )`;
}

/** @returns the configs whose lease was still held */
async function settle(db: Db, attempts: readonly Attempt[]): Promise<ConfigKey[]> {
  const { rows } = await sql<{ task_id: string; config_id: string }>`
    with input as (${attemptInput(attempts)}),
    held as (
      update webhook_configs c set
        fence = c.fence + 1,
        lease_until = null,
        failures = case input.outcome
          when 'delivered' then 0 when 'test failed' then c.failures when 'put off' then c.failures
          else c.failures + 1 end,
        next_attempt_at = case
          -- Whole milliseconds: a bell at this time must not come a fraction before it.
          when input.delay is not null then date_trunc('milliseconds', now() + input.delay * interval '1 second')
          else c.next_attempt_at end,
        disabled_at = case when input.outcome = 'given up' then now() end,
        disabled_reason = input.reason
      from input where c.task_id = input.task_id and c.id = input.config_id and c.fence = input.fence
      returning input.*
    ),
    attempt as (
      insert into delivery_attempts
        (task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start)
      select task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start from held
      where outcome <> 'put off'
    ),
    delivery as (
      update deliveries d set
        attempts = held.attempt,
        state = case held.outcome when 'delivered' then 'delivered' when 'retry' then d.state else 'failed' end,
        settled_at = case when held.outcome <> 'retry' then now() end
      from held
      where d.task_id = held.task_id and d.config_id = held.config_id and d.seq = held.seq
        and held.outcome <> 'put off'
    )
    select task_id, config_id from held`.execute(db);
  return rows.map((row) => ({ taskId: row.task_id, configId: row.config_id }));
}

/** Rings for the heads of the queues at the time of their next attempt, or ends the queues of disabled configs. */
async function ringForNext(
  db: Db,
  bellGraceSeconds: number,
  configs: readonly ConfigKey[],
): Promise<DeliveryBell[]> {
  const { rows } = await sql<{ id: string; task_id: string; config_id: string; due_at: Date }>`
    with config as (
      select c.task_id, c.id, c.disabled_at, greatest(c.next_attempt_at, now()) as due_at
      from unnest(${configs.map((key) => key.taskId)}::uuid[], ${configs.map((key) => key.configId)}::text[])
        as input (task_id, config_id)
      join webhook_configs c on c.task_id = input.task_id and c.id = input.config_id
    ),
    given_up as (
      update deliveries d set state = 'failed', settled_at = now()
      from config
      where d.task_id = config.task_id and d.config_id = config.id and d.state = 'pending'
        and config.disabled_at is not null
    ),
    head as (
      select config.task_id, config.id as config_id, config.due_at, first.seq
      from config cross join lateral (
        select d.seq from deliveries d
        where d.task_id = config.task_id and d.config_id = config.id and d.state = 'pending' order by d.seq limit 1
      ) first
      where config.disabled_at is null
    ),
    moved as (
      update deliveries d set bell_at = head.due_at + ${bellGraceSeconds} * interval '1 second'
      from head where d.task_id = head.task_id and d.config_id = head.config_id and d.seq = head.seq
    )
    insert into outbox (kind, task_id, config_id, due_at, claimed_until)
    select 'delivery', task_id, config_id, due_at, now() + ${freshClaim} from head
    returning id, task_id, config_id, due_at`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    kind: 'delivery',
    taskId: row.task_id,
    configId: row.config_id,
    dueAt: row.due_at,
  }));
}
