/**
 * Heartbeats of worker processes: one row each, which the process writes once a second, however many turns it runs. A process
 * whose row stays the same for five seconds is dead: its leases are ended, long before they would expire.
 *
 *   beat, beat, … ──no beat for 5 s, seen by a process that looked all the time──▶ row deleted, leases ended, turns woken
 *         ▲                                                                              │
 *         └── a process that lives after all finds its row gone, and confirms its leases ┘
 *
 * Times of different clocks are not compared: a watcher sees that a count has not changed. A worker starts nothing when its last
 * beat is older than five seconds, so that it never runs next to its successor (invariant 3).
 */
import { sql } from 'kysely';
import type { TurnWakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { bigint, rows as toRows, text } from '../client/rows.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '../outbox/outbox.ts';

/** The interval of a process's beats, and of looks at those of others. */
export const beatMs = 1_000;
/** A process without a beat for this time is dead. */
export const deadAfterMs = 5_000;

export interface Heartbeat {
  worker: string;
  beats: number;
}

/**
 * Writes the heartbeat of a worker.
 *
 * @returns true if it had no row: it has just started, or was taken for dead
 */
export async function beat(db: Db, worker: string): Promise<boolean> {
  const { rows } = await sql<{ is_new: boolean }>`-- prepared, quick
    insert into worker_heartbeats as h (worker) values (${worker})
    on conflict (worker) do update set beats = h.beats + 1
    returning beats = 0 as is_new`.execute(db);
  return rows[0]?.is_new ?? false;
}

/** Removes the heartbeat of a worker that ends, and has released its leases. */
export async function removeHeartbeat(db: Db, worker: string): Promise<void> {
  await db.deleteFrom('worker_heartbeats').where('worker', '=', worker).execute();
}

/** Returns the heartbeats of all workers; none if the database is read-only, because then no worker can beat. */
export async function readHeartbeats(db: Db): Promise<Heartbeat[]> {
  const { rows } = await sql<{ worker: string; beats: string }>`
    select worker, beats from worker_heartbeats where current_setting('transaction_read_only') = 'off'`.execute(
    db,
  );
  return rows.map(({ worker, beats }) => ({ worker, beats: Number(beats) }));
}

/**
 * Ends the leases of workers whose heartbeats are still as given, and wakes their turns. Waits for gates that others have
 * locked.
 */
export async function endLeasesOfDead(
  db: Db,
  wakeupGraceSeconds: number,
  heartbeats: readonly Heartbeat[],
): Promise<TurnWakeup[]> {
  const ended = sql`now() - interval '1 millisecond'`;
  const { rows } = await sql<TurnWakeupRow>`
    with dead as (
      delete from worker_heartbeats h
      using (${toRows('seen', heartbeats, {
        worker: text(({ worker }) => worker),
        beats: bigint(({ beats }) => beats),
      })}) seen
      where h.worker = seen.worker and h.beats = seen.beats
      returning h.worker
    ),
    held as (
      select g.task_id, g.fence from gates g
      where g.state_class = 0 and g.lease_until is not null and g.worker in (select worker from dead)
      order by g.task_id for no key update
    ),
    extended as (
      update extended_leases l set lease_until = ${ended} from held
      where l.task_id = held.task_id and l.fence = held.fence and l.lease_until > ${ended}
    ),
    gate as (
      update gates g set lease_until = least(g.lease_until, ${ended}), wakeup_at = now() + ${seconds(wakeupGraceSeconds)}
      from held where g.task_id = held.task_id and g.fence = held.fence and g.lease_until is not null
      returning g.task_id, g.turn
    )
    ${insertTurnWakeups()}`.execute(db);
  return rows.map(toTurnWakeup);
}
