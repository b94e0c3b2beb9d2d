/**
 * The deliveries of a webhook config as a queue (invariants 6 and 11): one attempt at a time, in the order of the
 * events, under a lease and a fence on the config's row.
 *
 *   pending ──claim──▶ (config leased, POST under way) ──record──▶ delivered
 *      ▲                                                   ├─ failed attempt: pending, the config waits ─┐
 *      └───────────────────────────────────────────────────┴─────────────────────────────────────────────┘
 *                                                          └─ given up: failed, the config disabled
 *
 * No wake-up is lost: a wakeup that finds the config leased is dropped, and whoever holds the lease goes on with the queue
 * or rings again. For that the claim waits for a record under way (it locks the row before it looks at the lease), and
 * the record looks for further deliveries in a statement of its own, after the one that has the lock: whatever was
 * committed before a dropped wakeup is seen there.
 */
import { sql } from 'kysely';
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

export type DeliveryClaim =
  | { kind: 'claimed'; delivery: ClaimedDelivery }
  /** The next attempt is due in so many milliseconds, and has a wakeup of its own. */
  | { kind: 'early'; waitMs: number }
  /** The config asks for speed: see fast-deliveries.ts. */
  | { kind: 'fast' }
  /** Nothing is to be done: no delivery waits, an attempt is under way elsewhere, or the config is disabled or gone. */
  | { kind: 'idle' };

interface ClaimRow extends ClaimedColumns {
  outcome: 'claimed' | 'early' | 'stale' | 'idle' | 'fast';
  wait_ms: number;
}

export function claimDeliveries(
  db: Db,
  options: { leaseSeconds: number },
): (key: ConfigKey) => Promise<DeliveryClaim> {
  return createBatcher(
    async (keys: readonly ConfigKey[]) => {
      const results = await claim(db, options.leaseSeconds, keys);
      return keys.map((key): DeliveryClaim => results.get(keyText(key)) ?? { kind: 'idle' });
    },
    { max: 256, key: keyText },
  );
}

async function claim(
  db: Db,
  leaseSeconds: number,
  keys: readonly ConfigKey[],
): Promise<Map<string, DeliveryClaim>> {
  // `held` is the row as it is once its lock is had, `seen` as it was when the statement began, like the deliveries.
  // Where they differ, an attempt was recorded meanwhile and the head of the queue may be another.
  const { rows } = await sql<ClaimRow>`
    with input as (
      select task_id, config_id
      from unnest(${keys.map((key) => key.taskId)}::uuid[], ${keys.map((key) => key.configId)}::text[])
        as input (task_id, config_id)
    ),
    held as (
      select c.* from webhook_configs c join input on c.task_id = input.task_id and c.id = input.config_id
      order by c.task_id, c.id for update of c
    ),
    look as (
      select held.*, head.seq, head.attempts, head.merged_from,
        extract(epoch from held.next_attempt_at - now()) * 1000 as wait_ms,
        case
          when held.disabled_at is not null or held.lease_until >= now() then 'idle'
          when not held.ordered then 'fast'
          when held.fence <> seen.fence then 'stale'
          when head.seq is null then 'idle'
          when held.next_attempt_at > now() then 'early'
          else 'claimed'
        end as outcome
      from held join webhook_configs seen on seen.task_id = held.task_id and seen.id = held.id
      left join lateral (
        select d.seq, d.attempts, d.merged_from from deliveries d
        where d.task_id = held.task_id and d.config_id = held.id and d.state = 'pending' order by d.seq limit 1
      ) head on true
    ),
    claimed as (
      update webhook_configs c
      set fence = c.fence + 1, lease_until = now() + ${leaseSeconds} * interval '1 second'
      from look where c.task_id = look.task_id and c.id = look.id and look.outcome = 'claimed'
      returning c.task_id, c.id, c.fence
    )
    select look.task_id, look.id as config_id, look.outcome, look.wait_ms::float8, look.seq, look.attempts + 1 as attempt,
      look.merged_from, claimed.fence, look.failures, ${configColumns('look')}
    from look left join claimed on claimed.task_id = look.task_id and claimed.id = look.id`.execute(db);
  const results = new Map<string, DeliveryClaim>();
  const again: ConfigKey[] = [];
  for (const row of rows) {
    const key = { taskId: row.task_id, configId: row.config_id };
    if (row.outcome === 'stale') again.push(key);
    else results.set(keyText(key), toClaim(row));
  }
  if (again.length > 0) {
    for (const [key, result] of await claim(db, leaseSeconds, again)) results.set(key, result);
  }
  return results;
}

function toClaim(row: ClaimRow): DeliveryClaim {
  if (row.outcome === 'claimed') return { kind: 'claimed', delivery: toClaimed(row) };
  if (row.outcome === 'early') return { kind: 'early', waitMs: Math.ceil(row.wait_ms) };
  return { kind: row.outcome === 'fast' ? 'fast' : 'idle' };
}
