/**
 * The deliveries of a webhook config as a queue (invariants 6 and 11): one attempt at a time, in the order of the
 * events, under a lease and a fence on the config's row.
 *
 *   pending ──claim──▶ (config leased, POST under way) ──record──▶ delivered
 *      ▲                                                   ├─ failed attempt: pending, the config waits ─┐
 *      └───────────────────────────────────────────────────┴─────────────────────────────────────────────┘
 *                                                          └─ given up: failed, the config disabled
 *
 * No wake-up is lost: a bell that finds the config leased is dropped, and whoever holds the lease rings again. For
 * that the claim waits for a record under way (it locks the row before it looks at the lease), and the record looks
 * for further deliveries in a statement of its own, after the one that has the lock: whatever was committed before a
 * dropped bell is seen there.
 */
import { sql } from 'kysely';
import type { WebhookRow } from './accept.ts';
import { combine } from './combiner.ts';
import type { Db } from './database.ts';

export interface ConfigKey {
  taskId: string;
  configId: string;
}

/** The right to make one attempt, until the lease runs out or the fence is raised. */
export interface ClaimedDelivery extends ConfigKey {
  /** The number of the event. */
  seq: number;
  /** The number of this attempt at this event, from 1. */
  attempt: number;
  fence: string;
  /** The first event that this one tells of as well; null: it tells of itself. */
  mergedFrom: number | null;
  /** How many attempts in a row have failed for this config. */
  failures: number;
  config: ClaimedConfig;
}

export interface ClaimedConfig extends WebhookRow {
  /** Signs beside the newer secret for a while; sealed. */
  previousSecret: string | null;
}

export type DeliveryClaim =
  | { kind: 'claimed'; delivery: ClaimedDelivery }
  /** The next attempt is due in so many milliseconds, and has a bell of its own. */
  | { kind: 'early'; waitMs: number }
  /** The config asks for speed: see fast-deliveries.ts. */
  | { kind: 'fast' }
  /** Nothing is to be done: no delivery waits, an attempt is under way elsewhere, or the config is disabled or gone. */
  | { kind: 'idle' };

interface ClaimRow extends ConfigColumns {
  outcome: 'claimed' | 'early' | 'stale' | 'idle' | 'fast';
  wait_ms: number;
  seq: number;
  attempts: number;
  merged_from: number | null;
  fence: string;
  failures: number;
}

/** A config, as statements return it. */
export interface ConfigColumns {
  task_id: string;
  config_id: string;
  url: string;
  token: string | null;
  auth_scheme: string | null;
  auth_credentials: string | null;
  events: WebhookRow['events'];
  protocol_version: string;
  signing_secret: string | null;
  previous_secret: string | null;
  ordered: boolean;
}

export function claimDeliveries(
  db: Db,
  options: { leaseSeconds: number },
): (key: ConfigKey) => Promise<DeliveryClaim> {
  return combine(
    async (keys: readonly ConfigKey[]) => {
      const results = await claim(db, options.leaseSeconds, keys);
      return keys.map((key): DeliveryClaim => results.get(keyText(key)) ?? { kind: 'idle' });
    },
    { max: 256, key: keyText },
  );
}

/** The key of a config as one string. */
export function keyText(key: ConfigKey): string {
  return JSON.stringify([key.taskId, key.configId]);
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
    select look.task_id, look.id as config_id, look.outcome, look.wait_ms::float8, look.seq, look.attempts, look.merged_from,
      claimed.fence, look.failures, look.url, look.token, look.auth_scheme, look.auth_credentials, look.events,
      look.protocol_version, look.signing_secret, look.ordered,
      case when look.previous_secret_until > now() then look.previous_secret end as previous_secret
    from look left join claimed on claimed.task_id = look.task_id and claimed.id = look.id`.execute(db);
  const results = new Map<string, DeliveryClaim>();
  const again: ConfigKey[] = [];
  for (const row of rows) {
    const key = { taskId: row.task_id, configId: row.config_id };
    if (row.outcome === 'stale') again.push(key);
    else results.set(keyText(key), toClaim(row, key));
  }
  if (again.length > 0) {
    for (const [key, result] of await claim(db, leaseSeconds, again)) results.set(key, result);
  }
  return results;
}

function toClaim(row: ClaimRow, key: ConfigKey): DeliveryClaim {
  if (row.outcome === 'early') return { kind: 'early', waitMs: Math.ceil(row.wait_ms) };
  if (row.outcome === 'fast') return { kind: 'fast' };
  if (row.outcome !== 'claimed') return { kind: 'idle' };
  const { seq, fence, failures } = row;
  const config = toConfig(row);
  return {
    kind: 'claimed',
    delivery: {
      ...key,
      seq,
      attempt: row.attempts + 1,
      mergedFrom: row.merged_from,
      fence,
      failures,
      config,
    },
  };
}

export function toConfig(row: ConfigColumns): ClaimedConfig {
  return {
    id: row.config_id,
    url: row.url,
    token: row.token,
    authScheme: row.auth_scheme,
    authCredentials: row.auth_credentials,
    events: row.events,
    protocolVersion: row.protocol_version,
    signingSecret: row.signing_secret,
    previousSecret: row.previous_secret,
    ordered: row.ordered,
  };
}
