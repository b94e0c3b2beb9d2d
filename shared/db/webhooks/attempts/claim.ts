/**
 * Claims the deliveries of a webhook config that may be attempted now (invariants 6 and 11). Every delivery
 * has its own lease, fence and place in the retry schedule. Configs differ only in which of their deliveries
 * may be claimed:
 *
 *   ordered:    the head, which is the lowest pending event, if no attempt at an event of the config is in flight
 *   unordered:  every pending delivery without a live lease
 *
 *   pending ──claim──▶ leased, POST in flight ──record──▶ delivered
 *      ▲                                           ├─ retry or deferred: pending, due later ─┐
 *      └───────────────────────────────────────────┴─────────────────────────────────────────┘
 *                                                  └─ abandoned: failed, the config disabled
 *
 * A test is not part of the order: it may be claimed unless an attempt at an event is in flight, and delays no event.
 *
 * The head of an ordered config keeps its place until it is delivered or abandoned, so its failures delay the
 * whole queue.
 *
 * A wake-up that finds an ordered config busy is dropped, and an event behind a pending one has none (events/fan-out.ts). No
 * delivery is missed, because recording the attempt in flight claims the next delivery or wakes it, unless its own retry is
 * next. Claims and records lock the config first, and a change of a queue writes a new version of its row: a redelivery, a
 * test, and a record that does not continue with the next delivery itself (settle.ts). A claim that waited for one detects by
 * the version that its snapshot is stale, and runs again.
 *
 * A claim reads small events along, so that most attempts need no other statement before their POST.
 *
 * A claim has an id over all of its tries. If the answer to a try was lost, the next one finds what it has leased by that
 * id, which would otherwise wait for the end of the lease.
 */
import { randomUUID } from 'node:crypto';
import { sql, type RawBuilder } from 'kysely';
import { createBatcher } from '../../client/batcher.ts';
import { fewRows, seconds } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { repeatUntil } from '../../client/repeat.ts';
import { int, rows as toRows, text, uuid } from '../../client/rows.ts';
import {
  clock,
  returnClaimed,
  selectClaimed,
  toClaimed,
  type ClaimedDelivery,
  type ClaimRow,
  type ConfigKey,
} from './claim-rows.ts';
import { isPending } from '../pending.ts';

export function toConfigText({ taskId, configId }: ConfigKey): string {
  return JSON.stringify([taskId, configId]);
}

/** The configs of a set of attempts, as rows `task_id, config_id`. */
export function toConfigRows(attempts: readonly { delivery: ConfigKey }[]) {
  return toRows('input', attempts, {
    task_id: uuid(({ delivery }) => delivery.taskId),
    config_id: text(({ delivery }) => delivery.configId),
  });
}

export interface ClaimRequest extends ConfigKey {
  /** At most this many are claimed; 0 only reports what is next. */
  limit: number;
}

export interface ClaimedQueue {
  deliveries: ClaimedDelivery[];
  /**
   * Time until the next delivery that was not claimed is due; undefined if none waits, or one is in flight
   * and blocks it.
   */
  waitMs: number | undefined;
}

/** How long a claim is repeated while the database is unavailable. */
export const maxRepeatMs = 10_000;

/** Batches concurrent claims. A config that is gone, disabled or busy has no deliveries to claim. */
export function createDeliveryClaim(
  db: Db,
  options: { leaseSeconds: number },
): (request: ClaimRequest) => Promise<ClaimedQueue> {
  return createBatcher(
    async (requests: readonly ClaimRequest[]) => {
      const claim = { claimId: randomUUID(), leaseSeconds: options.leaseSeconds };
      const until = performance.now() + maxRepeatMs;
      const results = await repeatUntil(until, () => claimDeliveries(db, claim, requests));
      return requests.map(
        (request) => results.get(toConfigText(request)) ?? { deliveries: [], waitMs: undefined },
      );
    },
    { max: 256, key: toConfigText },
  );
}

export interface ClaimOptions {
  /** The same for all tries of a claim. */
  claimId: string;
  leaseSeconds: number;
}

const isFree = ({ claimId }: ClaimOptions) =>
  sql`(d.lease_until is null or d.lease_until < now() or d.claim_id = ${claimId}::uuid)`;

/** @returns by `toConfigText`, without configs that are gone or disabled */
export async function claimDeliveries(
  db: Db,
  options: ClaimOptions,
  requests: readonly ClaimRequest[],
): Promise<Map<string, ClaimedQueue>> {
  const input = sql`input as (${toRows('input', requests, {
    task_id: uuid((request) => request.taskId),
    config_id: text((request) => request.configId),
    max: int((request) => request.limit),
  })} ${fewRows(requests.length)})`;
  const { rows } = await sql<ClaimRow>`-- prepared, quick
    with ${input}, ${claimFrom(options)} ${selectClaimed}`.execute(db);
  const limits = new Map(requests.map((request) => [toConfigText(request), request.limit]));
  return toResults(db, options, rows, (key) => limits.get(toConfigText(key)) ?? 0);
}

/** CTEs that claim deliveries, from a CTE `input (task_id, config_id, max)`. */
export function claimFrom(options: ClaimOptions): RawBuilder<unknown> {
  const free = isFree(options);
  return sql`
    -- Waits for claims and records in progress, and reads the configs as they are afterwards. A config without pending
    -- deliveries is left alone: what is written later has a wake-up of its own.
    locked as (
      select c.*, c.xmin as version, input.max
      from webhook_configs c join input on c.task_id = input.task_id and c.id = input.config_id
      where (
        select true from deliveries d
        where d.task_id = input.task_id and d.config_id = input.config_id and ${isPending} limit 1
      )
      order by c.task_id, c.id for update of c
    ),
    -- stale: the config changed while this statement waited, so the deliveries that it sees are outdated.
    config as (
      select locked.*, locked.ordered and locked.version <> seen.xmin as stale
      from locked join webhook_configs seen on seen.task_id = locked.task_id and seen.id = locked.id
      where locked.disabled_at is null
    ),
    -- The deliveries that may be claimed. In an ordered config, an attempt in flight sorts before the head
    -- and blocks it, unless it is a test.
    candidate as (
      select config.*, config.id as config_id, d.*
      from config left join lateral (
        select d.seq, d.fence, d.due_at, ${free} as free from deliveries d
        where d.task_id = config.task_id and d.config_id = config.id and ${isPending}
          and (config.ordered and d.seq > 0 or ${free})
        order by ${free}, case when config.ordered then d.seq end, d.due_at, d.seq
        limit case when config.ordered then 1 else greatest(config.max, 1) end
      ) d on not config.stale
    ),
    -- Skips a delivery that another process has changed since the snapshot: its state or fence differs.
    claimed as (
      update deliveries d set attempts = d.attempts + 1, fence = d.fence + 1,
        lease_until = ${clock} + ${seconds(options.leaseSeconds)}, claim_id = ${options.claimId}::uuid
      from candidate
      where d.task_id = candidate.task_id and d.config_id = candidate.config_id and d.seq = candidate.seq
        and ${isPending} and d.fence = candidate.fence
        and candidate.free and candidate.due_at <= ${clock} and candidate.max > 0
      ${returnClaimed}, d.due_at
    )`;
}

export async function toResults(
  db: Db,
  options: ClaimOptions,
  rows: readonly ClaimRow[],
  getLimit: (key: ConfigKey) => number,
): Promise<Map<string, ClaimedQueue>> {
  const results = new Map<string, ClaimedQueue>();
  const stale: ConfigKey[] = [];
  for (const row of rows) {
    const configKey = { taskId: row.task_id, configId: row.config_id };
    const key = toConfigText(configKey);
    if (row.stale) {
      stale.push(configKey);
      continue;
    }
    const result = results.get(key) ?? { deliveries: [], waitMs: undefined };
    results.set(key, result);
    if (row.seq !== null) result.deliveries.push(toClaimed(row, row.seq));
    else if (row.wait_ms !== null) result.waitMs ??= Math.max(0, Math.ceil(row.wait_ms));
  }
  if (stale.length > 0) {
    const again = stale.map((key) => ({ ...key, limit: getLimit(key) }));
    for (const [key, result] of await claimDeliveries(db, options, again)) results.set(key, result);
  }
  return results;
}
