/**
 * Follows the events of many tasks with one query for all of them, so that a thousand open streams cost the database
 * no more than one (invariant 5: all see the same events in the same order).
 *
 * The loop looks when a NOTIFY hints at something new, and every `pollMs` in any case; it sleeps while nobody follows.
 * A subscription is numbered without gaps: what it missed, because it began late, read slowly or lost a hint, it reads
 * from the table. It keeps at most `maxBuffered` events in memory.
 *
 *   subscription: behind ──read table──▶ level ──event n+1──▶ level
 *                   ▲                      │ gap, or the buffer is full
 *                   └──────────────────────┘
 */
import { Client } from 'pg';
import type { TaskEvent } from '../../domain/events.ts';
import { errorMessage, type Logger } from '../../runtime/log.ts';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { connectionOptions } from '../client/connection.ts';
import type { Db } from '../client/pool.ts';
import { logPosition, readEvents, tailEvents, type LogPosition } from './read.ts';
import { eventsChannel } from './fan-out.ts';

const maxBuffered = 256;

export interface Follower {
  /**
   * The events of a task after a number, without gap or repeat, until `signal` aborts. The caller has checked whose
   * task it is.
   */
  follow(taskId: string, after: number, signal: AbortSignal): AsyncGenerator<TaskEvent, void, undefined>;
  close(): Promise<void>;
}

export function createFollower(parts: {
  db: Db;
  /** For a connection of its own that listens; a connection that cannot listen costs only time. */
  database: DatabaseAddress;
  log: Logger;
  pollMs?: number;
}): Follower {
  const { db, log, pollMs = 50 } = parts;
  const subscriptions = new Map<string, Set<Subscription>>();
  const closing = new AbortController();
  let position: LogPosition | undefined;
  let positioned = Promise.withResolvers<void>();
  let joined = false;
  let loop: Promise<void> | undefined;
  let hinted = false;
  let wake: () => void = () => undefined;
  const hints = listen(parts.database, log, closing.signal, () => {
    hinted = true;
    wake();
  });

  async function run(): Promise<void> {
    while (subscriptions.size > 0 && !closing.signal.aborted) {
      hinted = false;
      await look().catch(async (error: unknown) => {
        log.warn({ error: errorMessage(error) }, 'events cannot be followed for now');
        await pause(500);
      });
      if (!hinted) await pause(pollMs);
    }
    position = undefined;
    positioned = Promise.withResolvers();
    loop = undefined;
  }

  async function look(): Promise<void> {
    position ??= await logPosition(db);
    positioned.resolve();
    joined = false;
    const { events, next } = await tailEvents(db, position, [...subscriptions.keys()]);
    // A subscription that joined during the look was not looked for: look from the same place again.
    if (!joined) position = next;
    for (const event of events) {
      for (const subscription of subscriptions.get(event.taskId) ?? []) subscription.offer(event);
    }
  }

  async function pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
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
      // It reads the table only once the log is followed from before that read, so that nothing falls in between.
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
      for (const subscription of [...subscriptions.values()].flatMap((one) => [...one])) subscription.stop();
      wake();
      await Promise.all([loop, hints]);
    },
  };
}

class Subscription {
  readonly #db: Db;
  readonly #taskId: string;
  #stopped = false;
  /** The number of the last event that was handed on or waits in the buffer. */
  #last: number;
  #buffer: TaskEvent[] = [];
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

  offer(event: TaskEvent): void {
    if (this.#behind || event.seq <= this.#last) return;
    if (event.seq === this.#last + 1 && this.#buffer.length < maxBuffered) {
      this.#buffer.push(event);
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
      if (events.length === 0 && !this.#behind) await this.#more();
    }
  }

  #take(): TaskEvent[] {
    const events = this.#buffer;
    this.#buffer = [];
    return events;
  }

  async #read(): Promise<TaskEvent[]> {
    // From here on what the loop sees is kept, so that nothing falls between this read and the next look.
    this.#behind = false;
    const from = this.#last;
    const events = await readEvents(this.#db, this.#taskId, from, maxBuffered).catch((error: unknown) => {
      this.#behind = true;
      throw error;
    });
    const unseen = events.filter((event) => event.seq > from);
    const last = unseen.at(-1)?.seq ?? from;
    // What the loop offered meanwhile may overlap with what was read, or leave a gap to it.
    this.#buffer = this.#buffer.filter((event) => event.seq > last);
    const first = this.#buffer[0]?.seq;
    if (first !== undefined && first !== last + 1) {
      this.#buffer = [];
      this.#behind = true;
    }
    this.#last = this.#buffer.at(-1)?.seq ?? last;
    if (events.length === maxBuffered) this.#behind = true;
    return unseen;
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#stopped || this.#behind || this.#buffer.length > 0) resolve();
    });
  }
}

/** Listens for hints until the signal aborts, connecting again when the connection is lost. */
async function listen(
  database: DatabaseAddress,
  log: Logger,
  signal: AbortSignal,
  onHint: () => void,
): Promise<void> {
  while (!signal.aborted) {
    const client = new Client({
      ...connectionOptions(database),
      application_name: 'longhaul-listen',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    });
    try {
      const ended = new Promise<void>((resolve) => {
        client.on('error', () => resolve());
        client.on('end', resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await client.connect();
      client.on('notification', onHint);
      await client.query(`listen ${eventsChannel}`);
      onHint();
      await ended;
    } catch (error) {
      log.debug({ error: errorMessage(error) }, 'listening for hints failed');
    }
    await client.end().catch(() => undefined);
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
