/**
 * The writes of a running turn. They are repeated while the database is unavailable, until the lease is lost, so a passing
 * error neither fails a step nor loses what the step has written.
 *
 * If the answer to a write is lost, its events may be stored, and would appear twice if they were written again. Therefore
 * writes with events run one at a time, and a repetition first looks for them among the events since the last write.
 */
import type { NewEvent, TurnWrite, WriteTurn } from '#shared/db/turns/write.ts';
import { certainlyDidNotRun } from '#shared/db/client/errors.ts';
import { countWriteBytes } from '#shared/db/owners/bytes.ts';
import type { Usage } from '#shared/domain/usage.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { HeldLease } from '../lease-heartbeat.ts';
import { retryWhileLeased } from '../retry-while-leased.ts';
import type { OutputPace } from './pace.ts';

/** Returns the number of the first event of a task after `after` with this content; undefined: there is none. */
export type FindEvent = (taskId: string, after: number, event: NewEvent) => Promise<number | undefined>;

export interface StoredOutput extends Pick<TurnWrite, 'events' | 'steps'> {
  /** Read for each try: the usage of the whole task so far, if it has changed. */
  taskUsage?: () => Usage | undefined;
}

export type Store = (output: StoredOutput) => Promise<void>;

export function createStore(parts: {
  held: HeldLease;
  /** The number of the last event of the task when its turn was claimed. */
  lastEvent: number;
  write: WriteTurn;
  findEvent: FindEvent;
  /** Default: output is written at once. */
  pace?: OutputPace | undefined;
  outbox: Pick<OutboxPublisher, 'publish'>;
  log: Logger;
}): Store {
  const { held, write, findEvent, pace, outbox, log } = parts;
  const { taskId } = held.lease;
  let lastEvent = parts.lastEvent;
  let lastWrite: Promise<unknown> = Promise.resolve();

  /** Returns whether an earlier try has stored these events. */
  async function wasStored(events: readonly NewEvent[]): Promise<boolean> {
    const [first] = events;
    const found = first && (await findEvent(taskId, lastEvent, first));
    if (found === undefined) return false;
    lastEvent = found + events.length - 1;
    return true;
  }

  async function store({ events = [], steps = [], taskUsage }: StoredOutput): Promise<void> {
    let mayBeStored = false;
    await pace?.wait(countWriteBytes({ events, steps }));
    await retryWhileLeased(held, log, async () => {
      if (mayBeStored && (await wasStored(events))) return;
      try {
        const usage = taskUsage && { taskUsage: taskUsage() };
        const written = await write({ lease: held.lease, events, steps, ...usage });
        if (events.length > 0) lastEvent = written.lastEvent;
        outbox.publish(written.wakeups);
      } catch (error) {
        mayBeStored ||= !certainlyDidNotRun(error);
        throw error;
      }
    });
    // The write may have been slow, or the process paused: nothing starts under a lease that has run out.
    await held.assertHeld();
  }

  return (output) => {
    if (output.events === undefined || output.events.length === 0) return store(output);
    const written = lastWrite.then(() => store(output));
    lastWrite = written.catch(() => undefined);
    return written;
  };
}
