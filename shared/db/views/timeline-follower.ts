/**
 * Follows the timelines of tasks. Steps, attempts and deliveries change without an event, so each reader looks twice a
 * second at a few numbers of its task, which one statement reads for all readers that look at the same time. Only if
 * they have changed, the timeline is read.
 */
import { sql } from 'kysely';
import type { Timeline } from '../../domain/views.ts';
import { databaseNow } from '../../runtime/clock.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import { readTimeline } from '../tasks/timeline.ts';
import type { Caller } from '../tasks/visibility.ts';
import { isFinal, selectSince, selectUnsent } from './timeline-parts.ts';

export interface TimelinePart {
  /** Where a reader of this part continues: milliseconds since 1970, by the clock of the database. */
  at: number;
  /** Entries that are new, or have changed. */
  timeline: Timeline;
}

export interface TimelineFollower {
  /**
   * Yields the timeline and then its changes, until nothing can change any more, `signal` aborts, or the follower
   * closes. Yields nothing if the caller does not see the task.
   *
   * @param since continues after a part that the caller has read
   */
  follow(
    caller: Caller,
    taskId: string,
    since: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<TimelinePart, void, undefined>;
  readonly isClosed: boolean;
  close(): void;
}

export function createTimelineFollower(db: Db, { pollMs = 500 }: { pollMs?: number } = {}): TimelineFollower {
  const closing = new AbortController();
  /** End the pauses of readers. */
  const wakers = new Set<() => void>();
  const readVersion = createBatcher((taskIds: readonly string[]) => readVersions(db, taskIds), { max: 256 });

  async function* follow(
    caller: Caller,
    taskId: string,
    since: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<TimelinePart, void, undefined> {
    let sent: ReadonlySet<string> | undefined;
    // Not undefined, which is the version of a task that does not exist.
    let known: string | undefined = '';
    while (!signal.aborted && !closing.signal.aborted) {
      // Before the timeline: what changes meanwhile is found by the next look.
      const version = await readVersion(taskId);
      if (version !== known) {
        const at = databaseNow();
        const timeline = await readTimeline(db, caller, taskId);
        if (timeline === undefined) return;
        const { part, digests } = selectUnsent(timeline, sent ?? new Set());
        yield { at, timeline: sent === undefined && since !== undefined ? selectSince(part, since) : part };
        if (isFinal(timeline)) return;
        sent = digests;
        known = version;
      }
      await pause(signal);
    }
  }

  /** Resolves after the time between two looks, or when the reader has to end. */
  function pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        wakers.delete(end);
        resolve();
      };
      const timer = setTimeout(end, pollMs);
      signal.addEventListener('abort', end);
      wakers.add(end);
    });
  }

  return {
    follow,
    get isClosed() {
      return closing.signal.aborted;
    },
    close: () => {
      closing.abort();
      for (const wake of wakers) wake();
    },
  };
}

/**
 * Returns what differs after each change of a timeline. The task is known to belong to the reader. A sleep ends by the
 * clock alone.
 */
async function readVersions(db: Db, taskIds: readonly string[]): Promise<(string | undefined)[]> {
  const { rows } = await sql<{ id: string; version: string }>`
    select g.task_id as id, concat_ws(' ', g.fence, g.last_event, g.last_turn, g.state_class, steps.*, deliveries.*,
      (select sum(ended) from child_groups cg where cg.parent_id = g.task_id)) as version
    from gates g
    cross join lateral (
      select count(*), count(finished_at), count(*) filter (where due_at <= now()), max(due_at), max(started_at)
      from steps s where s.task_id = g.task_id
    ) steps
    cross join lateral (
      select count(*), count(settled_at), sum(attempts), sum(fence), max(due_at)
      from deliveries d where d.task_id = g.task_id
    ) deliveries
    where g.task_id = any(${taskIds}::uuid[])`.execute(db);
  const found = new Map(rows.map(({ id, version }) => [id, version]));
  return taskIds.map((id) => found.get(id));
}
