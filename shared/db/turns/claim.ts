/**
 * Claims of turns: the gate is updated first and its fence raised (invariant 3), a task that begins is working from then on
 * (invariant 5), and what the turn begins with is read, in one statement for the turns that are claimed at the same time.
 */
import { sql } from 'kysely';
import { toWakeups, type WakeupColumns } from '../outbox/outbox.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import {
  gateWakeups,
  deliveriesOf,
  deliveryWakeups,
  fewRows,
  isRunnable,
  notifyFollowers,
} from '../events/fan-out.ts';
import type { Lease } from './leases.ts';
import { storedInput, type StoredInput } from './input.ts';

export interface Claimed {
  kind: 'claimed';
  lease: Lease;
  /** How often this turn was begun since its last recorded step, this time included. */
  attempts: number;
  /** What the turn begins with. */
  stored: StoredInput;
  wakeups: Wakeup[];
}

/**
 * - `leased`: another worker has the task
 * - `idle`: nothing is to be done: the task is waiting for input, at its end, gone, or not due before its own wakeup
 */
export type ClaimResult = Claimed | { kind: 'leased' } | { kind: 'idle' };

export type Claim = (taskId: string) => Promise<ClaimResult>;

export interface ClaimOptions {
  worker: string;
  leaseSeconds: number;
  wakeupGraceSeconds: number;
}

export function createClaim(db: Db, options: ClaimOptions): Claim {
  return createBatcher(
    async (taskIds: readonly string[]) => {
      const results = await claim(db, options, taskIds);
      return taskIds.map((taskId): ClaimResult => results.get(taskId) ?? { kind: 'idle' });
    },
    { max: 128, lanes: 2, key: (taskId) => taskId },
  );
}

async function claim(
  db: Db,
  options: ClaimOptions,
  taskIds: readonly string[],
): Promise<Map<string, ClaimResult>> {
  const results = new Map<string, ClaimResult>();
  for (const row of await claimSet(db, options, taskIds)) {
    const { task_id: taskId, turn, fence, attempts } = row;
    const wakeups = toWakeups(row, taskId, turn, null);
    results.set(taskId, { kind: 'claimed', lease: { taskId, turn, fence }, attempts, stored: row, wakeups });
  }
  const missed = taskIds.filter((taskId) => !results.has(taskId));
  if (missed.length === 0) return results;
  const runnable = await runnableOf(db, missed);
  for (const { task_id: taskId, leased } of runnable) if (leased) results.set(taskId, { kind: 'leased' });
  // Free, and not had: somebody changed it while the statement ran.
  const free = runnable.filter(({ leased }) => !leased).map(({ task_id: taskId }) => taskId);
  if (free.length > 0) {
    for (const [taskId, result] of await claim(db, options, free)) results.set(taskId, result);
  }
  return results;
}

type Row = { task_id: string; fence: number; turn: number; attempts: number } & WakeupColumns & StoredInput;

/**
 * The row that is updated must be the very one that the statement began with (`seen`): all else that it reads is as of then.
 * A step that was recorded, or a webhook config that was made, while it waited for the lock would otherwise be missed.
 */
async function claimSet(db: Db, options: ClaimOptions, taskIds: readonly string[]): Promise<Row[]> {
  const now = new Date().toISOString();
  const { rows } = await sql<Row>`-- prepared
    with input as (
      select task_id from unnest(${taskIds.toSorted()}::uuid[]) as input (task_id) ${fewRows(taskIds.length)}
    ),
    gate as (
      update gates g
      set fence = g.fence + 1, lease_until = now() + ${options.leaseSeconds} * interval '1 second',
        worker = ${options.worker}, attempts = g.attempts + 1, last_event = g.last_event + (g.fence = 0)::int
      from input join gates seen on seen.task_id = input.task_id
      where g.task_id = input.task_id and ${isRunnable} and g.run_at <= now()
        and (g.lease_until is null or g.lease_until < now()) and g.xmin = seen.xmin
      returning g.task_id, g.fence, g.turn, g.attempts, g.last_event, g.config_rev
    ),
    begun as (
      update tasks t set state = 'TASK_STATE_WORKING', status_at = ${now}::timestamptz
      from gate where t.id = gate.task_id and gate.fence = 1
      returning gate.task_id, gate.last_event, gate.config_rev, t.context_id
    ),
    new_event as (
      select task_id, last_event as seq, 'state' as kind, false as settles,
        json_build_object('statusUpdate', json_build_object(
          'taskId', task_id, 'contextId', context_id,
          'status', json_build_object('state', 'TASK_STATE_WORKING', 'timestamp', ${now}::text)
        )) as payload, config_rev
      from begun
    ),
    event as (
      insert into events (task_id, seq, kind, payload) select task_id, seq, kind, payload from new_event
    ),
    ${deliveriesOf(options.wakeupGraceSeconds)},
    ${deliveryWakeups}
    select gate.task_id, gate.fence, gate.turn, gate.attempts, ${storedInput},
      ${gateWakeups},
      ${notifyFollowers}
    from gate join tasks t on t.id = gate.task_id
    left join messages m on m.task_id = t.id and m.turn = gate.turn and m.role = 'user'`.execute(db);
  return rows;
}

async function runnableOf(
  db: Db,
  taskIds: readonly string[],
): Promise<{ task_id: string; leased: boolean }[]> {
  const { rows } = await sql<{ task_id: string; leased: boolean }>`
    select g.task_id, coalesce(g.lease_until >= now(), false) as leased
    from gates g
    where g.task_id = any(${taskIds}::uuid[]) and ${isRunnable} and g.run_at <= now()`.execute(db);
  return rows;
}
