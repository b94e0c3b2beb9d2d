/**
 * Claims turns. One statement serves all turns that are claimed at the same time. It updates the gate first
 * and raises its fence (invariant 3), moves a new task to working (invariant 5), and reads the input of the
 * turn if that is small and this is its first attempt.
 *
 * Every claim counts as an attempt before its input is read, so a task whose input cannot be read runs out of
 * attempts like any other. If the database refuses a set, its tasks are claimed one by one, and a task whose own
 * claim it refuses is claimed without input.
 */
import { sql, type RawBuilder } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Usage } from '../../domain/usage.ts';
import { createBatcher } from '../client/batcher.ts';
import { wasRefused } from '../client/errors.ts';
import { fewRows, isoTime, nextStatusAt, seconds } from '../client/fragments.ts';
import { locked, retryWhileLocked } from '../client/locked.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, openText } from '../contents/codec.ts';
import { rows, uuid } from '../client/rows.ts';
import { insertDeliveries, insertDeliveryWakeups, notifyListeners } from '../events/fan-out.ts';
import { gateWakeupColumns, toWakeups, type WakeupColumns } from '../outbox/outbox.ts';
import { insertCrashedAttempts } from './attempts.ts';
import {
  inlineColumns,
  inlineJoins,
  openInline,
  toTurnContent,
  type InlineRow,
} from './input/inline-input.ts';
import { isRunnable, leaseUntil, type Lease } from './leases.ts';
import {
  holderFirst,
  holdersFirstMs,
  mayTakeOverFrom,
  retryWhileHolderFirst,
  takeOverLeases,
} from './take-over.ts';
import type { TurnContent } from './turn-content.ts';

export interface Claimed {
  kind: 'claimed';
  lease: Lease;
  /** Starts of this turn since its last recorded step, including this one. */
  attempts: number;
  /** Failures of the agent's partners since the last recorded step, and since when they fail. */
  failures: number;
  failingSince: Date | null;
  /** The last attempt ended without a word: its worker died, or lost the database for the length of a lease. */
  crashed: boolean;
  /** Counts the waits of the task that a call has ended. */
  signals: number;
  /** The number of the last event of the task. */
  lastEvent: number;
  /** The last error of the task. */
  lastError: string | null;
  /** The time of the last status. Later ones are not before it. */
  statusAt: Date;
  task: ClaimedTask;
  /** Undefined if the input was not read with the claim; see input.ts. */
  content: TurnContent | undefined;
  /** Whether the context may have earlier turns. */
  hasHistory: boolean;
  wakeups: Wakeup[];
}

/** The small columns of a task. */
export interface ClaimedTask {
  tenant: string;
  owner: string;
  contextId: string;
  agentHash: string;
  usage: Usage | undefined;
  traceparent: string | null;
  isChild: boolean;
  /** It has started children. */
  isParent: boolean;
}

/**
 * - `leased`: another worker has the task
 * - `other_version`: the turn has steps of a version of the agent that this worker does not run
 * - `idle`: there is nothing to run: the task is interrupted, terminal, removed, or delayed
 */
export type ClaimResult = Claimed | { kind: 'leased' } | { kind: 'other_version' } | { kind: 'idle' };

export type Claim = (taskId: string) => Promise<ClaimResult>;

export interface ClaimOptions {
  /** Identifies the worker. */
  worker: string;
  leaseSeconds: number;
  wakeupGraceSeconds: number;
  /** When the database last failed, or may have, by `performance.now()`. Default: never. */
  databaseFailedAt?: () => number;
  /** A task with more attempts than this is claimed without its input, only to be ended. */
  maxAttempts: number;
  /** The versions of the agent whose turns this worker continues. Default: none, only turns without a version. */
  agentVersions?: readonly string[];
}

type SetResult = ClaimResult | typeof locked | typeof holderFirst;

export function createClaim(db: Db, options: ClaimOptions): Claim {
  const claimOnce = createBatcher(
    async (taskIds: readonly string[]) => {
      const results = await claimWithInput(db, options, taskIds);
      return taskIds.map((taskId): SetResult => results.get(taskId) ?? { kind: 'idle' });
    },
    { max: 128, lanes: 2, key: (taskId) => taskId },
  );
  return (taskId) => retryWhileHolderFirst(() => retryWhileLocked(() => claimOnce(taskId)));
}

/** @throws {Error} of the database. The batcher repeats a set that was refused with each of its tasks alone */
async function claimWithInput(
  db: Db,
  options: ClaimOptions,
  taskIds: readonly string[],
): Promise<Map<string, SetResult>> {
  try {
    return await claim(db, options, taskIds, true);
  } catch (error) {
    if (taskIds.length > 1 || !wasRefused(error)) throw error;
    return claim(db, options, taskIds, false);
  }
}

async function claim(
  db: Db,
  options: ClaimOptions,
  taskIds: readonly string[],
  withInput: boolean,
): Promise<Map<string, SetResult>> {
  const results = new Map<string, SetResult>();
  const failedAt = options.databaseFailedAt?.() ?? -Infinity;
  const mayTakeOver = performance.now() - failedAt > holdersFirstMs;
  for (const row of await claimSet(db, { ...options, mayTakeOver }, taskIds, withInput)) {
    results.set(row.task_id, toClaimed(areContentsEncrypted() ? await openRow(row) : row));
  }
  const missed = taskIds.filter((taskId) => !results.has(taskId));
  if (missed.length === 0) return results;
  for (const { task_id: taskId, lease, runs } of await readRunnable(db, options, missed, mayTakeOver)) {
    // Free but not claimed: its gate is locked, or changed while the statement ran.
    const free = runs ? locked : ({ kind: 'other_version' } as const);
    const leased = lease === 'expired' ? holderFirst : ({ kind: 'leased' } as const);
    results.set(taskId, lease === null ? free : leased);
  }
  return results;
}

/** Whether this worker runs the version of a gate `g`. */
function runsVersion({ agentVersions = [] }: ClaimOptions): RawBuilder<unknown> {
  if (agentVersions.length === 0) return sql`g.agent_version is null`;
  return sql`(g.agent_version is null or g.agent_version = any(${agentVersions}::text[]))`;
}

/**
 * `mayTakeOver`: whether expired leases of workers that may be alive may be claimed. Those of dead workers always may
 * (heartbeats.ts).
 */
type SetOptions = ClaimOptions & { mayTakeOver: boolean };

interface Row extends WakeupColumns, Partial<InlineRow> {
  task_id: string;
  fence: number;
  turn: number;
  attempts: number;
  failures: number;
  failing_since: Date | null;
  crashed: boolean;
  signals: number;
  last_event: number;
  last_error: string | null;
  status_at: Date;
  tenant: string;
  owner: string;
  context_id: string;
  agent_hash: string;
  usage: Usage | null;
  traceparent: string | null;
  is_child: boolean;
  is_parent: boolean;
}

/** Decrypts the contents that the claim has read. */
async function openRow(row: Row): Promise<Row> {
  try {
    const inline = await openInline(row.task_id, row);
    return { ...row, ...inline, last_error: await openText('error', row.task_id, row.last_error) };
  } catch {
    // Reported when the turn reads its input.
    return { ...row, inline: false, last_error: null };
  }
}

function toClaimed(row: Row): Claimed {
  const { task_id: taskId, turn, fence, attempts, failures, crashed } = row;
  return {
    kind: 'claimed',
    lease: { taskId, turn, fence },
    attempts,
    failures,
    failingSince: row.failing_since,
    crashed,
    signals: row.signals,
    lastEvent: row.last_event,
    lastError: row.last_error,
    statusAt: row.status_at,
    task: {
      tenant: row.tenant,
      owner: row.owner,
      contextId: row.context_id,
      agentHash: row.agent_hash,
      usage: row.usage ?? undefined,
      traceparent: row.traceparent,
      isChild: row.is_child,
      isParent: row.is_parent,
    },
    content: toTurnContent(row),
    hasHistory: row.has_history ?? true,
    wakeups: toWakeups(row, taskId, turn, null),
  };
}

async function claimSet(
  db: Db,
  options: SetOptions,
  taskIds: readonly string[],
  withInput: boolean,
): Promise<Row[]> {
  const result = await sql<Row>`-- prepared
    with ${updateGates(taskIds, options)},
    ${insertCrashedAttempts},
    -- The first claim of a task changes its state to working.
    started as (
      update tasks t set state = 'TASK_STATE_WORKING', status_at = ${nextStatusAt(sql`t.status_at`)}
      from gate where t.id = gate.task_id and gate.fence = 1
      returning gate.task_id, gate.last_event, gate.config_rev, t.context_id, t.status_at
    ),
    -- The event for that change. The gate has counted it already. Joined as text, which costs less than functions for JSON.
    new_event as (
      select task_id, last_event as seq, 'state' as kind, false as settles,
        ('{"statusUpdate":{"taskId":"' || task_id || '","contextId":' || to_json(context_id)
          || ',"status":{"state":"TASK_STATE_WORKING","timestamp":"' || ${isoTime(sql`status_at`)} || '"}}}')::json as payload,
        config_rev
      from started
    ),
    event as (
      insert into events (task_id, seq, kind, payload) select task_id, seq, kind, payload from new_event
    ),
    ${insertDeliveries(options.wakeupGraceSeconds)},
    ${insertDeliveryWakeups}
    select gate.task_id, gate.fence, gate.turn, gate.attempts, gate.failures, gate.failing_since, gate.crashed, gate.signals,
      gate.last_event, t.tenant, t.owner, t.context_id, t.agent_hash, t.usage, t.traceparent, t.last_error,
      t.child_group is not null as is_child, t.children is not null as is_parent,
      coalesce(started.status_at, t.status_at) as status_at,
      ${withInput ? sql`${inlineColumns},` : sql``} ${gateWakeupColumns}, ${notifyListeners}
    from gate join tasks t on t.id = gate.task_id left join started on started.task_id = gate.task_id
    ${withInput ? inlineJoins : sql``}`.execute(db);
  return result.rows;
}

/**
 * Leases the gates of runnable tasks that are due and not leased, as the CTE `gate`. Gates that others have locked
 * are left out. The first claim of a task (fence 0) also takes an event number. A gate that another transaction changed
 * after the statement started is left out too: its new version is not visible, so that no row has its `ctid`.
 * Everything else is read as of that start, and would lack a step or a webhook config that was written in between.
 */
function updateGates(taskIds: readonly string[], options: SetOptions): RawBuilder<unknown> {
  const { leaseSeconds, worker, mayTakeOver } = options;
  return sql`input as (
      ${rows('input', taskIds.toSorted(), { task_id: uuid((taskId) => taskId) })} ${fewRows(taskIds.length)}
    ),
    unlocked as (
      select g.* from input cross join lateral (
        select g.ctid as version, g.task_id, g.fence, g.lease_until, g.worker, g.claimed_at from gates g
        where g.task_id = input.task_id and ${isRunnable} and g.run_at <= now() and ${runsVersion(options)}
          and (g.lease_until is null or (g.lease_until < now() and ${mayTakeOverFrom(mayTakeOver)}))
        for no key update skip locked
      ) g
    ),
    ${takeOverLeases(leaseSeconds)},
    gate as (
      update gates g
      set fence = g.fence + 1, lease_until = now() + ${seconds(leaseSeconds)}, worker = ${worker}, claimed_at = now(),
        attempts = g.attempts + 1, last_event = g.last_event + (g.fence = 0)::int
      from unlocked
      where g.task_id = unlocked.task_id and g.ctid = unlocked.version
        and (unlocked.lease_until is null or g.task_id in (select task_id from taken_over))
      returning g.task_id, g.fence, g.turn, g.attempts, g.failures, g.failing_since, g.signals, g.last_event,
        g.config_rev,
        -- A release removes the lease, so one that has expired was left behind.
        unlocked.lease_until is not null as crashed,
        unlocked.worker as last_worker, unlocked.claimed_at as last_claimed_at, unlocked.lease_until as last_lease_until
    )`;
}

interface Runnable {
  task_id: string;
  /** `expired`: its holder may still extend it. */
  lease: 'live' | 'expired' | null;
  runs: boolean;
}

async function readRunnable(
  db: Db,
  options: ClaimOptions,
  taskIds: readonly string[],
  mayTakeOver: boolean,
): Promise<Runnable[]> {
  const result = await sql<Runnable>`
    select g.task_id, ${runsVersion(options)} as runs,
      case when ${leaseUntil} >= now() then 'live'
        when g.lease_until is not null and not ${mayTakeOverFrom(mayTakeOver)} then 'expired' end as lease
    from gates g
    where g.task_id = any(${taskIds}::uuid[]) and ${isRunnable} and g.run_at <= now()`.execute(db);
  return result.rows;
}
