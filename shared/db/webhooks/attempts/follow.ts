/**
 * Records attempts that have delivered an event of an ordered config, and claims the event that follows, in one statement:
 * the usual case costs one statement and one commit for each set of webhooks.
 *
 *   lock configs ──▶ settle (fenced) ──┬──▶ reset the failures of the configs
 *                                      └──▶ claim the lowest pending event of each config
 *
 * The statement sees only what was committed when it started. An event that is written while it runs has a wake-up, which may
 * find the config busy and be dropped, or has none, because its writer has found this event pending. So if the statement
 * claims nothing, the caller looks once more (record.ts), unless no event can follow. That second look is also why the
 * config is not written: a claim that waited for this statement has nothing left to do.
 */
import { sql } from 'kysely';
import { fewRows, seconds } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { areContentsEncrypted } from '../../contents/codec.ts';
import { boolean, rows as toRows, uuid } from '../../client/rows.ts';
import {
  claimedColumns,
  claimedWithEvent,
  clock,
  returnClaimed,
  toClaimed,
  type ClaimedColumns,
  type ClaimedDelivery,
} from './claim-rows.ts';
import { isPending } from '../pending.ts';
import { attemptColumns, sealAnswers, toDeliveryText, type Attempt } from './settle.ts';

/** Whether `followAttempts` records an attempt. */
export function isFollowed({ delivery, outcome, mayContinue }: Attempt): boolean {
  return outcome.kind === 'delivered' && mayContinue && delivery.config.ordered && delivery.seq > 0;
}

export interface Followed {
  /** Claimed with the `nextClaimId` of the attempt; undefined if none was found. */
  next: ClaimedDelivery | undefined;
  /** Whether the task has ended and nothing is pending: what is added later changes the config, and waits for its lock. */
  ended: boolean | null;
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
    is_last: boolean(({ isLast }) => isLast),
  });
  const { rows } = await sql<
    ClaimedColumns & { settled_seq: number; ended: boolean | null }
  >`-- prepared, quick
    with input as (${input} ${fewRows(attempts.length)}),
    -- As in claims (claim.ts): waits for claims and records in progress, and reads the configs as they are afterwards.
    locked as (
      select c.*, c.xmin as version, input.seq as settled_seq, input.fence, input.started_at,
        input.duration_ms, input.status, input.response_start, input.claim_id, input.is_last
      from input join webhook_configs c on c.task_id = input.task_id and c.id = input.config_id
      order by c.task_id, c.id for update of c
    ),
    settled as (
      update deliveries d set state = 'delivered', settled_at = now(), deferred_reason = null, lease_until = null,
        claim_id = null, started_at = locked.started_at, duration_ms = locked.duration_ms, status = locked.status,
        response_start = locked.response_start
      from locked
      where d.task_id = locked.task_id and d.config_id = locked.id and d.seq = locked.settled_seq
        and ${isPending} and d.fence = locked.fence and d.lease_until is not null
      returning locked.*
    ),
    recovered as (
      update webhook_configs c set failures = 0 from settled
      where c.task_id = settled.task_id and c.id = settled.id and settled.failures > 0
    ),
    -- seen: the config did not change while this statement waited, so what it sees of the queue is not outdated.
    queue as (
      select settled.*, seen.xmin = settled.version as seen
      from settled join webhook_configs seen on seen.task_id = settled.task_id and seen.id = settled.id
    ),
    -- The head of the queue. Another attempt in flight sorts before the head and blocks it. Materialized: otherwise the plan
    -- may look for the head once for each pending event.
    candidate as materialized (
      select queue.*, d.*
      from queue cross join lateral (
        select d.seq as next_seq, d.fence as next_fence, d.due_at, ${isFree} as free from deliveries d
        where d.task_id = queue.task_id and d.config_id = queue.id and ${isPending} and d.seq > 0
          and d.seq <> queue.settled_seq
        order by ${isFree}, d.seq limit 1
      ) d
      where queue.seen and queue.disabled_at is null
    ),
    claimed as (
      update deliveries d set attempts = d.attempts + 1, fence = d.fence + 1,
        lease_until = ${clock} + ${seconds(leaseSeconds)}, claim_id = candidate.claim_id
      from candidate
      where d.task_id = candidate.task_id and d.config_id = candidate.id and d.seq = candidate.next_seq
        and ${isPending} and d.fence = candidate.next_fence and candidate.free and candidate.due_at <= ${clock}
      ${returnClaimed}, candidate.settled_seq
    )
    select queue.task_id, queue.id as config_id, queue.settled_seq,
      queue.is_last and queue.seen and not exists (
        select from deliveries d where d.task_id = queue.task_id and d.config_id = queue.id and ${isPending}
          and d.seq <> queue.settled_seq
      ) as ended, ${claimedColumns}
    from queue left join (${claimedWithEvent}) on false
    where (queue.task_id, queue.id) not in (select task_id, config_id from claimed)
    union all
    select claimed.task_id, claimed.config_id, claimed.settled_seq, false, ${claimedColumns} from ${claimedWithEvent}`.execute(
    db,
  );
  const followed = new Map<string, Followed>();
  for (const row of rows) {
    const { task_id: taskId, config_id: configId, settled_seq, seq } = row;
    const next = seq === null ? undefined : toClaimed(row, seq);
    followed.set(toDeliveryText({ taskId, configId, seq: settled_seq }), { next, ended: row.ended });
  }
  return attempts.map(({ delivery }) => followed.get(toDeliveryText(delivery)));
}
