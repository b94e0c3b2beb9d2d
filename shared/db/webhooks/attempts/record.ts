/**
 * Records attempts at deliveries, and makes sure that the next delivery follows: the caller continues with
 * it, or a wake-up is written for it. claim.ts describes the states of a delivery, and why none is missed.
 *
 *   delivered in order: settle (fenced) and claim the next (follow.ts) ──nothing claimed──┐
 *                                                                                         ▼
 *   others: settle (fenced), wake retries ──▶ fail what is pending of disabled configs ──▶ claim the next ──▶ wake the rest
 *             └ the head of an ordered queue is due later: nothing follows before it
 *
 * Each step is one statement, so that no lock waits for this process. The claim comes after the first commit, so it sees
 * everything that was committed before a wake-up was dropped. If this process dies between two steps, the reconciler
 * finds what is due, as it does when a process dies in mid-attempt.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { DeliveryWakeup } from '../../../domain/wakeup.ts';
import { createBatcher } from '../../client/batcher.ts';
import { isPassing } from '../../client/errors.ts';
import { seconds } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { repeatUntil } from '../../client/repeat.ts';
import { rows as toRows, text, uuid } from '../../client/rows.ts';
import { insertOutbox } from '#shared/db/outbox/outbox.ts';
import {
  claimDeliveries,
  maxRepeatMs,
  toConfigRows,
  toConfigText,
  type ClaimedQueue,
  type ClaimRequest,
} from './claim.ts';
import type { ClaimedDelivery, ConfigKey } from './claim-rows.ts';
import { isPending } from '../pending.ts';
import { followAttempts, isFollowed } from './follow.ts';
import { findSettled, settleAttempts, toDeliveryText, type Attempt } from './settle.ts';

export interface Recorded {
  wakeups: DeliveryWakeup[];
  /** The next delivery, already claimed, or undefined if none is due. */
  next: ClaimedDelivery | undefined;
}

/**
 * Resolves to undefined if the attempt no longer counts: its config was changed or deleted, or its lease was
 * lost. Safe to repeat after an error: an attempt counts once.
 */
export type RecordAttempt = (attempt: Attempt) => Promise<Recorded | undefined>;

interface Options {
  leaseSeconds: number;
  wakeupGraceSeconds: number;
}

const maxSpacingMs = 20;

/**
 * Returns the least time between two sets, by the size of the first (batcher.ts). Each statement costs something for itself, so
 * under load sets are large. Few webhooks at a time are hardly delayed.
 */
export function getSpacingMs(size: number): number {
  return Math.min(size, maxSpacingMs);
}

export function createAttemptRecorder(db: Db, options: Options): RecordAttempt {
  const sets = { max: 256, lanes: 2, getSpacingMs };
  const byDelivery = { ...sets, key: ({ delivery }: Attempt) => toDeliveryText(delivery) };
  const record = createBatcher(
    (attempts: readonly Attempt[]) => recordSet(db, options, attempts),
    byDelivery,
  );
  const follow = createBatcher(
    (attempts: readonly Attempt[]) => followAttempts(db, options.leaseSeconds, attempts),
    byDelivery,
  );
  const continueAfter = createBatcher(
    async (attempts: readonly Attempt[]) => {
      const recorded = toRecorded(attempts, await continueQueues(db, options, attempts, randomUUID()));
      return attempts.map(({ delivery }) => recorded.get(toDeliveryText(delivery)));
    },
    { ...sets, key: ({ delivery }) => toConfigText(delivery) },
  );
  return async (attempt) => {
    const followed = isFollowed(attempt) ? await follow(attempt) : undefined;
    // `record` finds out whether an earlier try has settled it whose answer was lost.
    if (followed === undefined) return record(attempt);
    if (followed.next === undefined && followed.ended !== true) return continueAfter(attempt);
    return { wakeups: [], next: followed.next };
  };
}

async function recordSet(
  db: Db,
  options: Options,
  attempts: readonly Attempt[],
): Promise<(Recorded | undefined)[]> {
  const { counted, waiting, wakeups } = await settleAttempts(db, options.wakeupGraceSeconds, attempts);
  const isCounted = ({ delivery }: Attempt): boolean => counted.has(toDeliveryText(delivery));
  const isWaiting = ({ delivery }: Attempt): boolean => waiting.has(toDeliveryText(delivery));
  const missed = attempts.filter((attempt) => !isCounted(attempt));
  // Another try, whose answer was lost, may have settled them, and claimed what follows.
  const settledBefore = missed.length === 0 ? new Set<string>() : await findSettled(db, missed);
  const results = new Map<string, Recorded>();
  const proceed = async (settled: readonly Attempt[], claimId: string, woken: readonly DeliveryWakeup[]) => {
    if (settled.length === 0) return;
    // Nothing follows the heads of ordered queues before their retries.
    const continuing = settled.filter((attempt) => !isWaiting(attempt));
    const { claimed, wakeups: further } = await continueQueues(db, options, continuing, claimId);
    const recorded = toRecorded(settled, { claimed, wakeups: [...woken, ...further] });
    for (const [key, result] of recorded) results.set(key, result);
  };
  await proceed(attempts.filter(isCounted), randomUUID(), wakeups);
  for (const attempt of missed) {
    if (settledBefore.has(toDeliveryText(attempt.delivery)))
      await proceed([attempt], attempt.nextClaimId, []);
  }
  return attempts.map(({ delivery }) => results.get(toDeliveryText(delivery)));
}

/** Divides what follows a set of attempts among them. The keys are those of `toDeliveryText`. */
function toRecorded(attempts: readonly Attempt[], { claimed, wakeups }: Continued): Map<string, Recorded> {
  const wakeupsOf = Map.groupBy(wakeups, toConfigText);
  const results = new Map<string, Recorded>();
  for (const { delivery, mayContinue } of attempts) {
    const config = toConfigText(delivery);
    const next = mayContinue ? claimed.get(config)?.deliveries.shift() : undefined;
    results.set(toDeliveryText(delivery), { wakeups: wakeupsOf.get(config) ?? [], next });
    // Each wake-up is published once, even if several attempts of the set belong to its config.
    wakeupsOf.delete(config);
  }
  return results;
}

interface Continued {
  /** By `toConfigText`. */
  claimed: Map<string, ClaimedQueue>;
  wakeups: DeliveryWakeup[];
}

/**
 * Finds what follows attempts that are recorded. Each statement is repeated while the database is unavailable. After 10 s
 * it is given up: the outcomes are stored, and the reconciler finds what is due.
 */
async function continueQueues(
  db: Db,
  options: Options,
  recorded: readonly Attempt[],
  claimId: string,
): Promise<Continued> {
  if (recorded.length === 0) return { claimed: new Map(), wakeups: [] };
  const until = performance.now() + maxRepeatMs;
  const abandoned = recorded.filter(({ outcome }) => outcome.kind === 'abandoned');
  if (abandoned.length > 0) await tryUntil(until, () => failPending(db, abandoned));
  const requests = toClaimRequests(recorded);
  const claim = { claimId, leaseSeconds: options.leaseSeconds };
  const claimed = await tryUntil(until, () => claimDeliveries(db, claim, requests));
  const left = requests.filter((request) => {
    const queue = claimed?.get(toConfigText(request));
    return queue?.deliveries.length === 0 && queue.waitMs === 0;
  });
  const wakeups = await tryUntil(until, () => wakeQueues(db, options.wakeupGraceSeconds, left));
  return { claimed: claimed ?? new Map(), wakeups: wakeups ?? [] };
}

/** @returns undefined if the database was unavailable until this time, by `performance.now()` */
async function tryUntil<T>(until: number, operation: () => Promise<T>): Promise<T | undefined> {
  try {
    return await repeatUntil(until, operation);
  } catch (error) {
    if (!isPassing(error)) throw error;
    return undefined;
  }
}

/** Fails all pending deliveries of the configs that these attempts disabled. Attempts in flight no longer count. */
async function failPending(db: Db, abandoned: readonly Attempt[]): Promise<void> {
  await sql`
    with input as (${toConfigRows(abandoned)}),
    -- A config that its owner has enabled again meanwhile is left out.
    config as (
      select c.task_id, c.id from (select distinct task_id, config_id from input) key
      join webhook_configs c on c.task_id = key.task_id and c.id = key.config_id
      where c.disabled_at is not null order by c.task_id, c.id for update of c
    )
    update deliveries d set state = 'failed', settled_at = now(), fence = d.fence + 1, lease_until = null
    from config where d.task_id = config.task_id and d.config_id = config.id and ${isPending}`.execute(db);
}

/** Builds one request for each config, for as many deliveries as callers may continue with. */
function toClaimRequests(recorded: readonly Attempt[]): ClaimRequest[] {
  const requests = new Map<string, ClaimRequest>();
  for (const { delivery, mayContinue } of recorded) {
    const { taskId, configId } = delivery;
    const limit = (requests.get(toConfigText(delivery))?.limit ?? 0) + Number(mayContinue);
    requests.set(toConfigText(delivery), { taskId, configId, limit });
  }
  return [...requests.values()];
}

/** Writes a wake-up for each queue that no caller continues with. */
async function wakeQueues(
  db: Db,
  wakeupGraceSeconds: number,
  queues: readonly ConfigKey[],
): Promise<DeliveryWakeup[]> {
  if (queues.length === 0) return [];
  const { rows } = await sql<{ id: string; task_id: string; config_id: string; due_at: Date }>`
    with wanted as (${toRows('input', queues, {
      task_id: uuid(({ taskId }) => taskId),
      config_id: text(({ configId }) => configId),
    })}),
    -- As in records: configs are locked before deliveries.
    input as (
      select c.task_id, c.id as config_id, c.owner
      from wanted join webhook_configs c on c.task_id = wanted.task_id and c.id = wanted.config_id
      order by c.task_id, c.id for update of c
    ),
    -- The reconciler may have postponed deliveries that waited for an attempt until the end of its lease.
    moved as (
      update deliveries d set wakeup_at = least(d.wakeup_at, now() + ${seconds(wakeupGraceSeconds)})
      from input where d.task_id = input.task_id and d.config_id = input.config_id and ${isPending}
    )
    -- With the owner, so that dispatchers in which it has its share leave them to others.
    ${insertOutbox({
      kind: 'delivery',
      from: sql`input`,
      owner: sql`owner`,
    })}
    returning id, task_id, config_id, due_at`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    kind: 'delivery',
    taskId: row.task_id,
    configId: row.config_id,
    dueAt: row.due_at,
  }));
}
