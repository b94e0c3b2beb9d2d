/**
 * Turns that wait for a worker of their version of the agent (docs/develop/versions.md), and which version takes new turns:
 *
 *   wake-up ─▶ a worker of another version ─▶ version_queue ─▶ a worker that runs the version ─▶ claim
 *                                                           └▶ the reconciler, each minute    ─▶ wake-up, or a status
 *
 * A queued turn is runnable and not leased. It may stay in the queue when that changes: the gate decides when it is
 * taken. Its place among the turns that count towards the limit of its owner is kept.
 *
 * Locks are taken in one order: the gate, then the queued turn.
 */
import { sql } from 'kysely';
import { createBatcher } from '../client/batcher.ts';
import { fewRows, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { rows, uuid } from '../client/rows.ts';
import { isFree, isRunnable } from '../turns/leases.ts';
import type { QueuedTurn } from './dequeue.ts';

/** When the reconciler looks at a queued turn again. */
export const checkSeconds = 60;

/** A version without a sign of its workers in pull mode for this time has none. */
const pullUnseenSeconds = 15;
/** How often a worker shows that it runs. */
const signSeconds = 4;

/** Longer than it takes from here to the claim. */
const claimSeconds = 10;

/** Leaves a turn to the workers of its version. Does nothing if the turn cannot be claimed now. */
export type LeaveTurn = (taskId: string) => Promise<void>;

/** @param options.wakeSeconds when the turn is woken by Pub/Sub if no worker has taken it from the queue */
export function createLeaveTurn(db: Db, options: { wakeSeconds: number }): LeaveTurn {
  return createBatcher(
    async (taskIds: readonly string[]) => {
      await leave(db, taskIds, options.wakeSeconds);
      return taskIds.map(() => undefined);
    },
    { max: 500, lanes: 2, key: (taskId) => taskId },
  );
}

async function leave(db: Db, taskIds: readonly string[], wakeSeconds: number): Promise<void> {
  await sql`-- prepared
    with input as (
      ${rows('input', taskIds.toSorted(), { task_id: uuid((taskId) => taskId) })} ${fewRows(taskIds.length)}
    ),
    gate as (
      update gates g set wakeup_at = now() + ${seconds(wakeSeconds)}
      from input join gates seen on seen.task_id = input.task_id
      where g.task_id = input.task_id and ${isRunnable} and g.run_at <= now() and g.agent_version is not null
        and ${isFree}
      returning g.task_id, g.agent_version
    )
    insert into version_queue (task_id, agent_version, check_at)
    select task_id, agent_version, now() + ${seconds(checkSeconds)} from gate
    on conflict (task_id) do update set agent_version = excluded.agent_version`.execute(db);
}

export interface VersionedTurn extends QueuedTurn {
  owner: string;
  /** It counts towards the limit of its owner until it is claimed. */
  admitted: boolean;
}

/**
 * Takes up to `count` turns of these versions from the queue. If the worker dies before it claims them, the
 * reconciler wakes them.
 */
export async function takeVersionedTurns(
  db: Db,
  versions: readonly string[],
  count: number,
): Promise<VersionedTurn[]> {
  const result = await sql<{ task_id: string; owner: string; queued_at: Date; admitted: boolean }>`
    with first as (
      select task_id from version_queue where agent_version = any(${versions}::text[])
      order by queued_at limit ${count} for update skip locked
    ),
    taken as (
      delete from version_queue v using first where v.task_id = first.task_id returning v.task_id, v.queued_at
    )
    select taken.task_id, t.owner, taken.queued_at, exists (
      select from admitted_turns a join gates g on g.task_id = a.task_id and g.fence = a.fence
      where a.task_id = taken.task_id and a.admitted_until > now() + ${seconds(claimSeconds)}
    ) as admitted
    from taken join tasks t on t.id = taken.task_id order by taken.queued_at`.execute(db);
  return result.rows.map((row) => ({
    taskId: row.task_id,
    owner: row.owner,
    queuedAt: row.queued_at,
    admitted: row.admitted,
  }));
}

/**
 * Has a turn without a version woken again, because a worker of a newer version should run it. Returns false if the turn has
 * a version or cannot be claimed now.
 */
export async function postponeNewTurn(db: Db, taskId: string, wakeSeconds: number): Promise<boolean> {
  const { rows: postponed } = await sql`
    update gates g set wakeup_at = now() + ${seconds(wakeSeconds)}
    where g.task_id = ${taskId} and ${isRunnable} and g.run_at <= now() and g.agent_version is null and ${isFree}
    returning g.task_id`.execute(db);
  return postponed.length > 0;
}

/**
 * Shows that a worker of this version runs, and returns whether no newer version runs, so that it takes new turns.
 *
 * @param unseenSeconds a version without a sign of its workers for this time does not run
 */
export async function showVersion(
  db: Db,
  version: string,
  unseenSeconds = pullUnseenSeconds,
): Promise<{ isNewest: boolean }> {
  const unseen = sql`now() - ${seconds(unseenSeconds)}`;
  const result = await sql<{ isNewest: boolean }>`
    with shown as (
      insert into running_versions as r (version) values (${version})
      on conflict (version) do update
        set seen_at = now(), since = case when r.seen_at < ${unseen} then now() else r.since end
        where r.seen_at < now() - ${seconds(signSeconds)}
    )
    -- As of the start of the statement: a version that appears now is the newest.
    select not exists (
      select from running_versions newer
      where newer.version <> ${version} and newer.seen_at >= ${unseen} and newer.since > coalesce(
        (select own.since from running_versions own where own.version = ${version} and own.seen_at >= ${unseen}), now())
    ) as "isNewest"`.execute(db);
  return result.rows[0] ?? { isNewest: true };
}

export interface VersionCount {
  version: string;
  /** Turns that have recorded a step, and wait or run; at most 10,000 of all versions are counted. */
  turns: number;
  /** Those among them that wait for a worker of the version. */
  waiting: number;
  /** Whether workers in pull mode run the version now. */
  running: boolean;
}

/** Returns the versions that run or have turns, the newest first. */
export async function countVersions(db: Db): Promise<VersionCount[]> {
  const result = await sql<VersionCount>`
    with open as (
      select task_id, agent_version from gates
      where state_class = 0 and agent_version is not null order by wakeup_at limit 10000
    ),
    counted as (
      select agent_version as version, count(*)::int as turns, count(v.task_id)::int as waiting
      from open left join version_queue v using (task_id, agent_version) group by agent_version
    )
    select version, coalesce(turns, 0) as turns, coalesce(waiting, 0) as waiting,
      coalesce(seen_at >= now() - ${seconds(pullUnseenSeconds)}, false) as running
    from counted full join running_versions using (version)
    where turns > 0 or seen_at >= now() - ${seconds(pullUnseenSeconds)}
    order by since desc nulls last, version`.execute(db);
  return result.rows;
}
