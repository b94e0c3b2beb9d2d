/**
 * The statement that claims a set of turns. It updates the gates first and raises their fences (invariant 3), moves new
 * tasks to working (invariant 5), and reads the input of a turn if that is small and this is its first attempt.
 */
import { sql, type RawBuilder } from 'kysely';
import type { Usage } from '../../domain/usage.ts';
import { fewRows, isoTime, nextStatusAt, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { rows, uuid } from '../client/rows.ts';
import { insertDeliveries, insertDeliveryWakeups, notifyListeners } from '../events/fan-out.ts';
import { gateWakeupColumns, type WakeupColumns } from '../outbox/outbox.ts';
import { insertCrashedAttempts } from './attempts.ts';
import { inlineColumns, inlineJoins, type InlineRow } from './input/inline-input.ts';
import { isRunnable, leaseUntil } from './leases.ts';
import { mayTakeOverFrom, takeOverLeases } from './take-over.ts';

interface SetOptions {
  worker: string;
  leaseSeconds: number;
  wakeupGraceSeconds: number;
  agentVersions?: readonly string[];
  /**
   * Whether expired leases of workers that may be alive may be claimed. Those of dead workers always may (heartbeats.ts).
   */
  mayTakeOver: boolean;
}

export interface ClaimRow extends WakeupColumns, Partial<InlineRow> {
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

/** @param withInput whether inputs are read too */
export async function claimSet(
  db: Db,
  options: SetOptions,
  taskIds: readonly string[],
  withInput: boolean,
): Promise<ClaimRow[]> {
  const result = await sql<ClaimRow>`-- prepared
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

/** Reads why turns that can run were not claimed. */
export async function readRunnable(
  db: Db,
  options: SetOptions,
  taskIds: readonly string[],
): Promise<Runnable[]> {
  const result = await sql<Runnable>`
    select g.task_id, ${runsVersion(options)} as runs,
      case when ${leaseUntil} >= now() then 'live'
        when g.lease_until is not null and not ${mayTakeOverFrom(options.mayTakeOver)} then 'expired' end as lease
    from gates g
    where g.task_id = any(${taskIds}::uuid[]) and ${isRunnable} and g.run_at <= now()`.execute(db);
  return result.rows;
}

/** Whether this worker runs the version of a gate `g`. */
function runsVersion({ agentVersions = [] }: Pick<SetOptions, 'agentVersions'>): RawBuilder<unknown> {
  if (agentVersions.length === 0) return sql`g.agent_version is null`;
  return sql`(g.agent_version is null or g.agent_version = any(${agentVersions}::text[]))`;
}
