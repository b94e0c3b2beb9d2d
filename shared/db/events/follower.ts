/**
 * Follows the events of many tasks with one query for all of them, so that a thousand open streams cost the
 * database no more than one (invariant 5: all see the same events in the same order).
 *
 * The loop polls when a NOTIFY hints at new events, and every `pollMs` in any case. It runs only while there
 * are subscriptions. A subscription yields events without gaps: if it started late or fell behind, it reads
 * the missed events from the table. It buffers at most `maxBufferedBytes`.
 *
 *   subscription: behind ──read table──▶ level ──event n+1──▶ level
 *                   ▲                      │ gap, or the buffer is full
 *                   └──────────────────────┘
 */
import type { TaskEvent } from '../../domain/events.ts';
import { measure } from '../../domain/sizes.ts';
import { errorMessage, type Logger } from '../../runtime/log.ts';
import { isPassing } from '../client/errors.ts';
import type { Db } from '../client/pool.ts';
import type { EventHints } from './hints.ts';
import { readEvents, readLogPosition, tailEvents, type LogPosition, type UnreadEvent } from './read.ts';

/** Events of one subscription that wait for their reader. */
const maxBuffered = 256;
const maxBufferedBytes = 4 * 1024 * 1024;
/** Events that are read from the table at once. Each has at most 512 KiB, and most have far less. */
const maxRead = 32;

export interface Follower {
  /**
   * Yields the events of a task after a number, without gaps or repeats, until `signal` aborts. It does not
   * check who owns the task.
   */
  follow(taskId: string, after: number, signal: AbortSignal): AsyncGenerator<TaskEvent, void, undefined>;
  close(): Promise<void>;
}

export function createFollower(parts: {
  db: Db;
  hints: Pick<EventHints, 'listen'>;
  log: Logger;
  pollMs?: number;
}): Follower {
  const { db, hints, log, pollMs = 50 } = parts;
  const subscriptions = new Map<string, Set<Subscription>>();
  const closing = new AbortController();
  let position: LogPosition | undefined;
  let positioned = Promise.withResolvers<void>();
  let joined = false;
  let loop: Promise<void> | undefined;
  let hinted = false;
  let wakeLoop: () => void = () => undefined;
  hints.listen(() => {
    hinted = true;
    wakeLoop();
  });

  async function run(): Promise<void> {
    while (subscriptions.size > 0 && !closing.signal.aborted) {
      hinted = false;
      await poll().catch(async (error: unknown) => {
        log[isPassing(error) ? 'debug' : 'warn']({ error: errorMessage(error) }, 'polling for events failed');
        await pause(500);
      });
      if (!hinted) await pause(pollMs);
    }
    position = undefined;
    positioned = Promise.withResolvers();
    loop = undefined;
  }

  async function poll(): Promise<void> {
    position ??= await readLogPosition(db);
    positioned.resolve();
    joined = false;
    const { events, next } = await tailEvents(db, position, [...subscriptions.keys()]);
    // The query did not include subscriptions that joined meanwhile: poll from the same position again.
    if (!joined) position = next;
    for (const event of events) {
      for (const subscription of subscriptions.get(event.taskId) ?? []) subscription.offer(event);
    }
  }

  async function pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeLoop = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function* follow(
    taskId: string,
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<TaskEvent, void, undefined> {
    const subscription = new Subscription(db, taskId, after);
    const stop = (): void => subscription.stop();
    if (signal.aborted || closing.signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    const others = subscriptions.get(taskId) ?? new Set();
    subscriptions.set(taskId, others.add(subscription));
    joined = true;
    loop ??= run();
    try {
      // The loop reads its position before the first read of the table, so that no event falls in between.
      await Promise.race([positioned.promise, subscription.untilStopped()]);
      yield* subscription.events();
    } finally {
      signal.removeEventListener('abort', stop);
      others.delete(subscription);
      if (others.size === 0 && subscriptions.get(taskId) === others) subscriptions.delete(taskId);
    }
  }

  return {
    follow,
    close: async () => {
      closing.abort();
      for (const subscription of [...subscriptions.values()].flatMap((set) => [...set])) {
        subscription.stop();
      }
      wakeLoop();
      await loop;
    },
  };
}

class Subscription {
  readonly #db: Db;
  readonly #taskId: string;
  #stopped = false;
  /** The number of the last event that was yielded or is in the buffer. */
  #last: number;
  #buffer: TaskEvent[] = [];
  #bufferedBytes = 0;
  #behind = true;
  #wake: () => void = () => undefined;

  constructor(db: Db, taskId: string, after: number) {
    this.#db = db;
    this.#taskId = taskId;
    this.#last = after;
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  async untilStopped(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#stopped) resolve();
    });
  }

  offer(event: TaskEvent | UnreadEvent): void {
    if (this.#behind || event.seq <= this.#last) return;
    if (event.payload !== null && event.seq === this.#last + 1 && this.#hasRoom()) {
      this.#buffer.push(event);
      this.#bufferedBytes += measure(event.payload);
      this.#last = event.seq;
    } else {
      this.#behind = true;
    }
    this.#wake();
  }

  async *events(): AsyncGenerator<TaskEvent, void, undefined> {
    while (!this.#stopped) {
      const events = this.#buffer.length > 0 || !this.#behind ? this.#take() : await this.#read();
      yield* events;
      if (events.length === 0 && !this.#behind) await this.#untilMore();
    }
  }

  #hasRoom(): boolean {
    return this.#buffer.length < maxBuffered && this.#bufferedBytes < maxBufferedBytes;
  }

  #take(): TaskEvent[] {
    const events = this.#buffer;
    this.#buffer = [];
    this.#bufferedBytes = 0;
    return events;
  }

  async #read(): Promise<TaskEvent[]> {
    // From here on, events of the loop are buffered, so that none falls between this read and the next poll.
    this.#behind = false;
    const from = this.#last;
    const events = await readEvents(this.#db, this.#taskId, from, maxRead).catch((error: unknown) => {
      this.#behind = true;
      throw error;
    });
    const unseen = events.filter((event) => event.seq > from);
    const last = unseen.at(-1)?.seq ?? from;
    // Events that the loop offered meanwhile may overlap with those read, or leave a gap after them.
    this.#buffer = this.#buffer.filter((event) => event.seq > last);
    const first = this.#buffer[0]?.seq;
    if (first !== undefined && first !== last + 1) {
      this.#buffer = [];
      this.#behind = true;
    }
    if (this.#buffer.length === 0) this.#bufferedBytes = 0;
    this.#last = this.#buffer.at(-1)?.seq ?? last;
    if (events.length === maxRead) this.#behind = true;
    return unseen;
  }

  async #untilMore(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#stopped || this.#behind || this.#buffer.length > 0) resolve();
    });
  }
}
