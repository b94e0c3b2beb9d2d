/**
 * The deliveries of configs that ask for speed: an event waits for no other (see deliveries.ts for those that keep the
 * order). Each delivery has its own lease, backoff and count of failures; the number of its attempt is its fence, and
 * the fence of the config refuses what was sent before the config was changed.
 *
 *   pending ──claim──▶ (delivery leased, POST under way) ──record──▶ delivered
 *      ▲                                                     ├─ failed attempt: pending, this delivery waits
 *      └─────────────────────────────────────────────────────┘
 *                                                            └─ given up: failed, the config disabled
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
import { attemptInput, type Attempt, type RecordAttempt, type Recorded } from './record.ts';

/** Takes up to so many deliveries of a config that asks for speed. */
export type ClaimFast = (key: ConfigKey & { limit: number }) => Promise<ClaimedDelivery[]>;

export function claimFastDeliveries(db: Db, options: { leaseSeconds: number }): ClaimFast {
  return createBatcher(
    async (keys: readonly (ConfigKey & { limit: number })[]) => {
      const claimed = await claim(db, options.leaseSeconds, keys);
      return keys.map((key) => claimed.filter((one) => keyText(one) === keyText(key)));
    },
    { max: 256, key: keyText },
  );
}

async function claim(
  db: Db,
  leaseSeconds: number,
  keys: readonly (ConfigKey & { limit: number })[],
): Promise<ClaimedDelivery[]> {
  const { rows } = await sql<ClaimedColumns>`
    with input as (
      select * from unnest(${keys.map((key) => key.taskId)}::uuid[], ${keys.map((key) => key.configId)}::text[],
        ${keys.map((key) => key.limit)}::int[]) as input (task_id, config_id, most)
    ),
    config as (
      select c.*, input.most from webhook_configs c
      join input on c.task_id = input.task_id and c.id = input.config_id
      where not c.ordered and c.disabled_at is null
    ),
    head as (
      select d.task_id, d.config_id, d.seq from config cross join lateral (
        select d.* from deliveries d
        where d.task_id = config.task_id and d.config_id = config.id and d.state = 'pending'
          and (d.lease_until is null or d.lease_until < now()) and (d.due_at is null or d.due_at <= now())
        order by d.seq limit config.most for update skip locked
      ) d
    ),
    claimed as (
      update deliveries d set attempts = d.attempts + 1, lease_until = now() + ${leaseSeconds} * interval '1 second'
      from head where d.task_id = head.task_id and d.config_id = head.config_id and d.seq = head.seq
      returning d.task_id, d.config_id, d.seq, d.attempts as attempt, d.merged_from, d.failures
    )
    select claimed.*, config.fence, ${configColumns('config')}
    from claimed join config on config.task_id = claimed.task_id and config.id = claimed.config_id
    order by claimed.seq`.execute(db);
  return rows.map(toClaimed);
}

export function recordFastAttempts(db: Db, options: { wakeupGraceSeconds: number }): RecordAttempt {
  return createBatcher((attempts: readonly Attempt[]) => record(db, options.wakeupGraceSeconds, attempts), {
    max: 256,
    key: ({ delivery }) => JSON.stringify([delivery.taskId, delivery.configId, delivery.seq]),
  });
}

type RecordedRow = {
  task_id: string;
  config_id: string;
  seq: number;
  outcome: string;
  wakeup: string | null;
  due_at: Date;
};

async function record(
  db: Db,
  wakeupGraceSeconds: number,
  attempts: readonly Attempt[],
): Promise<(Recorded | undefined)[]> {
  const rows = await db.transaction().execute(async (trx) => {
    const recorded = await settle(trx, wakeupGraceSeconds, attempts);
    const givenUp = recorded.filter(({ outcome }) => outcome === 'given up');
    if (givenUp.length > 0) {
      await sql`
        update deliveries d set state = 'failed', settled_at = now()
        from unnest(${givenUp.map((row) => row.task_id)}::uuid[], ${givenUp.map((row) => row.config_id)}::text[])
          as config (task_id, id)
        where d.task_id = config.task_id and d.config_id = config.id and d.state = 'pending'`.execute(trx);
    }
    return recorded;
  });
  return attempts.map(({ delivery: { taskId, configId, seq } }) => {
    const row = rows.find((one) => one.task_id === taskId && one.config_id === configId && one.seq === seq);
    if (row === undefined) return undefined;
    const wakeups: DeliveryWakeup[] =
      row.wakeup === null ? [] : [{ id: row.wakeup, kind: 'delivery', taskId, configId, dueAt: row.due_at }];
    return { wakeups, next: undefined };
  });
}

/** Locks the configs first, like everybody who changes both. */
async function settle(
  db: Db,
  wakeupGraceSeconds: number,
  attempts: readonly Attempt[],
): Promise<RecordedRow[]> {
  const { rows } = await sql<RecordedRow>`
    with input as (${attemptInput(attempts)}),
    config as (
      select c.task_id, c.id, c.fence from webhook_configs c
      where (c.task_id, c.id) in (select task_id, config_id from input)
      order by c.task_id, c.id for update
    ),
    held as (
      update deliveries d set
        state = case
          when input.outcome = 'delivered' then 'delivered' when input.delay is not null then d.state else 'failed' end,
        settled_at = case when input.delay is null then now() end,
        attempts = case when input.outcome = 'put off' then d.attempts - 1 else d.attempts end,
        failures = case when input.outcome = 'retry' then d.failures + 1 else d.failures end,
        lease_until = null,
        due_at = case when input.delay is not null
          then date_trunc('milliseconds', now() + input.delay * interval '1 second') end,
        wakeup_at = now() + (coalesce(input.delay, 0) + ${wakeupGraceSeconds}) * interval '1 second'
      from input join config on config.task_id = input.task_id and config.id = input.config_id
        and config.fence = input.fence
      where d.task_id = input.task_id and d.config_id = input.config_id and d.seq = input.seq
        and d.attempts = input.attempt and d.state = 'pending'
      returning input.*, d.due_at
    ),
    attempt as (
      insert into delivery_attempts
        (task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start)
      select task_id, config_id, seq, attempt, started_at, duration_ms, status, error, response_start from held
      where outcome <> 'put off'
    ),
    changed as (
      update webhook_configs c set
        failures = case when told.delivered then 0 else c.failures + told.failed end,
        disabled_at = case when told.reason is null then c.disabled_at else now() end,
        disabled_reason = coalesce(told.reason, c.disabled_reason)
      from (
        select task_id, config_id, bool_or(outcome = 'delivered') as delivered, max(reason) as reason,
          (count(*) filter (where outcome in ('retry', 'given up')))::int as failed
        from held group by task_id, config_id
      ) told
      where c.task_id = told.task_id and c.id = told.config_id
    ),
    wakeup as (
      insert into outbox (kind, task_id, config_id, due_at, claimed_until)
      select 'delivery', task_id, config_id, due_at, now() + ${freshClaim} from held where delay is not null
      returning id, task_id, config_id, due_at
    )
    select held.task_id, held.config_id, held.seq, held.outcome, held.due_at, (
      select wakeup.id from wakeup
      where wakeup.task_id = held.task_id and wakeup.config_id = held.config_id and wakeup.due_at = held.due_at limit 1
    ) as wakeup
    from held`.execute(db);
  return rows;
}
