/**
 * Records attempts that have delivered an event of an ordered config, and claims the event that follows, in one statement:
 * the usual case costs one statement and one commit for each set of webhooks.
 *
 *   lock configs ──▶ settle (fenced) ──┬──▶ log the attempts, reset the failures of the configs
 *                                      └──▶ claim the lowest pending event of each config
 *
 * The statement sees only what was committed when it started. An event that is written while it runs has a wake-up, which may
 * find the config busy and be dropped. So if the statement claims nothing, the caller looks once more (record.ts).
 */
import { sql } from 'kysely';
import { fewRows, seconds } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { areContentsEncrypted } from '../../contents/codec.ts';
import { rows as toRows, uuid } from '../../client/rows.ts';
import {
  claimedColumns,
  clock,
  isPending,
  smallEvent,
  toClaimed,
  type ClaimedDelivery,
  type ClaimRow,
} from './claim-rows.ts';
import { attemptColumns, sealAnswers, toDeliveryText, type Attempt } from './settle.ts';

/** Whether `followAttempts` records an attempt. */
export function isFollowed({ delivery, outcome, mayContinue }: Attempt): boolean {
  return outcome.kind === 'delivered' && mayContinue && delivery.config.ordered && delivery.seq > 0;
}

export interface Followed {
  /** Claimed with the `nextClaimId` of the attempt; undefined if none was found. */
  next: ClaimedDelivery | undefined;
}

const isFree = sql`(d.lease_until is null or d.lease_until < now())`;

/** @returns for each attempt; undefined if it was not settled: it no longer counts, or an earlier try has settled it */
export async function followAttempts(
  db: Db,
  leaseSeconds: number,
  unsealed: readonly Attempt[],
): Promise<(Followed | undefined)[]> {
  const attempts = areContentsEncrypted() ? await sealAnswers(unsealed) : unsealed;
  const input = toRows('input', attempts, {
    ...attemptColumns,
    claim_id: uuid((attempt) => attempt.nextClaimId),
  });
  const { rows } = await sql<ClaimRow & { settled_seq: number }>`-- prepared, quick
    with input as (${input} ${fewRows(attempts.length)}),
    -- As in claims (claim.ts): waits for claims and records in progress, and reads the configs as they are afterwards.
    locked as (
      select c.*, c.xmin as version, input.seq as settled_seq, input.fence, input.attempt, input.started_at,
        input.duration_ms, input.status, input.response_start, input.claim_id
      from input join webhook_configs c on c.task_id = input.task_id and c.id = input.config_id
      order by c.task_id, c.id for update of c
    ),
    settled as (
      update deliveries d set state = 'delivered', settled_at = now(), deferred_reason = null, lease_until = null,
        claim_id = null
      from locked
      where d.task_id = locked.task_id and d.config_id = locked.id and d.seq = locked.settled_seq
        and ${isPending} and d.fence = locked.fence and d.lease_until is not null
      returning locked.*
    ),
    logged as (
      insert into delivery_attempts (task_id, config_id, seq, attempt, started_at, duration_ms, status, response_start)
      select task_id, id, settled_seq, attempt, started_at, duration_ms, status, response_start from settled
    ),
    -- Written even if nothing changes, so that claims that waited find a new version.
    updated as (
      update webhook_configs c set failures = 0 from settled where c.task_id = settled.task_id and c.id = settled.id
    ),
    -- The head of the queue, unless the config changed while this statement waited: what it sees is outdated then. Another
    -- attempt in flight sorts before the head and blocks it. Materialized: otherwise the plan may look for the head once for
    -- each pending event.
    candidate as materialized (
      select settled.task_id, settled.id as config_id, settled.claim_id, d.*
      from settled join webhook_configs seen on seen.task_id = settled.task_id and seen.id = settled.id
      cross join lateral (
        select d.seq, d.fence, d.due_at, ${isFree} as free from deliveries d
        where d.task_id = settled.task_id and d.config_id = settled.id and ${isPending} and d.seq > 0
          and d.seq <> settled.settled_seq
        order by ${isFree}, d.seq limit 1
      ) d
      where seen.xmin = settled.version and settled.disabled_at is null
    ),
    claimed as (
      update deliveries d set attempts = d.attempts + 1, fence = d.fence + 1,
        lease_until = ${clock} + ${seconds(leaseSeconds)}, claim_id = candidate.claim_id
      from candidate
      where d.task_id = candidate.task_id and d.config_id = candidate.config_id and d.seq = candidate.seq
        and ${isPending} and d.fence = candidate.fence and candidate.free and candidate.due_at <= ${clock}
      returning d.task_id, d.config_id, d.seq, d.attempts as attempt, d.fence, d.failures, d.merged_from, d.thin
    )
    select config.task_id, config.id as config_id, config.settled_seq, ${claimedColumns}
    from settled config
    left join claimed on claimed.task_id = config.task_id and claimed.config_id = config.id
    left join ${smallEvent} on true`.execute(db);
  const followed = new Map<string, Followed>();
  for (const row of rows) {
    const { task_id: taskId, config_id: configId, settled_seq, seq } = row;
    const next = seq === null ? undefined : toClaimed(row, seq);
    followed.set(toDeliveryText({ taskId, configId, seq: settled_seq }), { next });
  }
  return attempts.map(({ delivery }) => followed.get(toDeliveryText(delivery)));
}
