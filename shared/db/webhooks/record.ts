/**
 * Recording attempts at deliveries, and seeing to what comes next in the queue of their config: whoever goes on with it
 * gets it along, otherwise it is rung for. The states, and why no wake-up is lost, stand in deliveries.ts.
 */
import { sql } from 'kysely';
import { freshClaim } from '../outbox/outbox.ts';
import type { DeliveryWakeup } from '../../domain/wakeup.ts';
import {
  configColumns,
  keyText,
  toClaimed,
  type ClaimedColumns,
  type ClaimedDelivery,
  type ConfigKey,
} from './claimed-delivery.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import { coalescePending } from './coalesce.ts';

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
  /** Whether the same process goes on with what is due next in the queue. */
  goesOn: boolean;
}

export interface Recorded {
  wakeups: DeliveryWakeup[];
  /** What is to be attempted next, claimed; undefined: there is nothing, or it has a wakeup. */
  next: ClaimedDelivery | undefined;
}

/** Resolves to undefined where the config was changed, deleted or taken over meanwhile: nothing was written. */
export type RecordAttempt = (attempt: Attempt) => Promise<Recorded | undefined>;

interface Options {
  leaseSeconds: number;
  wakeupGraceSeconds: number;
}

export function createAttemptRecorder(db: Db, options: Options): RecordAttempt {
  return createBatcher((attempts: readonly Attempt[]) => record(db, options, attempts), {
    max: 256,
    key: (attempt) => keyText(attempt.delivery),
  });
}

async function record(
  db: Db,
  options: Options,
  attempts: readonly Attempt[],
): Promise<(Recorded | undefined)[]> {
  const [held, next] = await db.transaction().execute(async (trx) => {
    const keys = new Set((await settle(trx, attempts)).map(keyText));
    const held = attempts.filter(({ delivery }) => keys.has(keyText(delivery)));
    const late = held.filter(({ delivery, outcome }) => outcome.kind === 'retry' || delivery.failures > 0);
    if (late.length > 0)
      await coalescePending(
        trx,
        late.map(({ delivery }) => delivery),
      );
    return [keys, held.length === 0 ? [] : await seeToNext(trx, options, held)];
  });
  const nextOf = new Map(next.map((row) => [keyText({ taskId: row.task_id, configId: row.config_id }), row]));
  return attempts.map(({ delivery: { taskId, configId } }) => {
    const key = keyText({ taskId, configId });
    if (!held.has(key)) return undefined;
    const row = nextOf.get(key);
    if (row === undefined) return { wakeups: [], next: undefined };
    if (row.wakeup === null) return { wakeups: [], next: toClaimed(row) };
    return {
      wakeups: [{ id: row.wakeup, kind: 'delivery', taskId, configId, dueAt: row.due_at }],
      next: undefined,
    };
  });
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
          -- Whole milliseconds: a wakeup at this time must not come a fraction before it.
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

/** The head of a queue: claimed, or with a wakeup. */
type NextRow = ClaimedColumns & { wakeup: string | null; due_at: Date };

/**
 * Claims the heads of the queues that are gone on with, rings for the others at the time of their next attempt, and ends
 * the queues of disabled configs.
 */
async function seeToNext(db: Db, options: Options, attempts: readonly Attempt[]): Promise<NextRow[]> {
  const column = <T>(of: (attempt: Attempt) => T) => attempts.map(of);
  const { rows } = await sql<NextRow>`
    with config as (
      select c.*, input.goes_on, greatest(c.next_attempt_at, now()) as due_at
      from unnest(${column((one) => one.delivery.taskId)}::uuid[], ${column((one) => one.delivery.configId)}::text[],
        ${column((one) => one.goesOn)}::boolean[]) as input (task_id, config_id, goes_on)
      join webhook_configs c on c.task_id = input.task_id and c.id = input.config_id
    ),
    given_up as (
      update deliveries d set state = 'failed', settled_at = now()
      from config
      where d.task_id = config.task_id and d.config_id = config.id and d.state = 'pending'
        and config.disabled_at is not null
    ),
    head as (
      select config.*, config.id as config_id, first.seq, first.attempts + 1 as attempt, first.merged_from,
        config.goes_on and config.next_attempt_at <= now() as taken
      from config cross join lateral (
        select d.seq, d.attempts, d.merged_from from deliveries d
        where d.task_id = config.task_id and d.config_id = config.id and d.state = 'pending' order by d.seq limit 1
      ) first
      where config.disabled_at is null
    ),
    moved as (
      update deliveries d set wakeup_at = head.due_at + ${options.wakeupGraceSeconds} * interval '1 second'
      from head where d.task_id = head.task_id and d.config_id = head.config_id and d.seq = head.seq
    ),
    claimed as (
      update webhook_configs c
      set fence = c.fence + 1, lease_until = now() + ${options.leaseSeconds} * interval '1 second'
      from head where c.task_id = head.task_id and c.id = head.config_id and head.taken
      returning c.task_id, c.id, c.fence
    ),
    wakeup as (
      insert into outbox (kind, task_id, config_id, due_at, claimed_until)
      select 'delivery', task_id, config_id, due_at, now() + ${freshClaim} from head where not taken
      returning id, task_id, config_id
    )
    select head.task_id, head.config_id, head.seq, head.attempt, head.merged_from, head.failures, head.due_at,
      claimed.fence, wakeup.id as wakeup, ${configColumns('head')}
    from head
    left join claimed on claimed.task_id = head.task_id and claimed.id = head.config_id
    left join wakeup on wakeup.task_id = head.task_id and wakeup.config_id = head.config_id`.execute(db);
  return rows;
}
