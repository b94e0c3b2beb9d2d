/**
 * Feeds: the events of all tasks of a caller. One query in each poll serves all readers that have seen everything so
 * far. A reader that starts at an earlier position, or falls behind, reads pages of its own up to the position of the
 * loop, and then joins the others:
 *
 *   reader: behind ──own pages──▶ level ──what the loop finds──▶ level
 *              ▲                    │ too much waits for it
 *              └────────────────────┘
 */
import type { FeedEvent } from '../../domain/views.ts';
import { errorMessage, type Logger } from '../../runtime/log.ts';
import { isPassing } from '../client/errors.ts';
import type { Db } from '../client/pool.ts';
import type { Caller } from '../tasks/visibility.ts';
import { formatPosition, readFeedPage } from './feed-page.ts';
import { readLogPosition, type LogPosition } from './read.ts';

/** Events that wait for one reader. Each has about 200 bytes. */
const maxWaiting = 1_000;
/** A reader without events learns the position this often, so that it need not read far when it returns. */
const idleMs = 15_000;

/** `position` is where a reader that has seen the event continues: it may see events of the same moment again. */
export interface FeedEntry {
  position: string;
  /** Undefined: only the position has changed. */
  event: FeedEvent | undefined;
}

export interface Feed {
  /** Yields entries until `signal` aborts or the feed closes, the first one at once. */
  follow(
    caller: Caller,
    from: LogPosition | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<FeedEntry, void, undefined>;
  /** @returns whether the database can have issued the position */
  isKnown(position: LogPosition): Promise<boolean>;
  close(): void;
}

export function createFeed({ db, log, pollMs = 25 }: { db: Db; log: Logger; pollMs?: number }): Feed {
  const readers = new Set<Reader>();
  let position: LogPosition | undefined;
  let isRunning = false;
  const closing = new AbortController();

  async function run(): Promise<void> {
    isRunning = true;
    while (readers.size > 0 && !closing.signal.aborted) {
      await poll().catch(async (error: unknown) => {
        log[isPassing(error) ? 'debug' : 'warn']({ error: errorMessage(error) }, 'polling for feeds failed');
        await pause(500);
      });
      await pause(pollMs);
    }
    isRunning = false;
    position = undefined;
  }

  async function poll(): Promise<void> {
    position ??= await readLogPosition(db);
    const from = position;
    const level = [...readers].filter((reader) => reader.position === from);
    const callers = new Map(level.map(({ caller }) => [toKey(caller), caller]));
    const { events, next } = await readFeedPage(db, [...callers.values()], { from });
    position = next;
    const found = Map.groupBy(events, ({ caller }) => toKey(caller));
    for (const reader of level) {
      const own = found.get(toKey(reader.caller)) ?? [];
      reader.offer(
        own.map(({ event }) => event),
        next,
      );
    }
    for (const reader of readers) {
      if (reader.position !== next) reader.wake();
    }
  }

  async function* follow(
    caller: Caller,
    from: LogPosition | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<FeedEntry, void, undefined> {
    const start = from ?? position ?? (await readLogPosition(db));
    const reader = new Reader(caller, start);
    readers.add(reader);
    const stop = (): void => reader.wake();
    signal.addEventListener('abort', stop, { once: true });
    if (!isRunning) void run();
    try {
      let seen = start;
      yield { position: formatPosition(seen), event: undefined };
      while (!signal.aborted && !closing.signal.aborted) {
        const batch = reader.take() ?? (reader.position === position ? undefined : await catchUp(reader));
        if (batch === undefined) {
          if (await reader.untilMore(idleMs)) continue;
          seen = reader.position;
          yield { position: formatPosition(seen), event: undefined };
          continue;
        }
        for (const event of batch.events.slice(0, -1)) yield { position: formatPosition(seen), event };
        seen = batch.next;
        yield { position: formatPosition(seen), event: batch.events.at(-1) };
      }
    } finally {
      signal.removeEventListener('abort', stop);
      readers.delete(reader);
    }
  }

  /** Reads the next page of a reader that is behind the loop; undefined if the loop has no position yet. */
  async function catchUp(reader: Reader): Promise<Batch | undefined> {
    if (position === undefined) return undefined;
    const to = position;
    const { events, next, more } = await readFeedPage(db, [reader.caller], { from: reader.position, to });
    // The same object as that of the loop: the reader is level if the loop has not moved meanwhile.
    reader.moveTo(more ? next : to);
    return { events: events.map(({ event }) => event), next: reader.position };
  }

  return {
    follow,
    isKnown: async ({ xmax }) => BigInt(xmax) <= BigInt((await readLogPosition(db)).xmax),
    close: () => {
      closing.abort();
      for (const reader of readers) reader.wake();
    },
  };
}

const toKey = ({ tenant, owner }: Caller): string => JSON.stringify([tenant, owner]);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Batch {
  events: FeedEvent[];
  next: LogPosition;
}

class Reader {
  readonly caller: Caller;
  /** The position after everything that waits. Level with the loop if it is the loop's. */
  position: LogPosition;
  /** The position before what waits. */
  #taken: LogPosition;
  #waiting: Batch[] = [];
  #count = 0;
  #wake: () => void = () => undefined;

  constructor(caller: Caller, position: LogPosition) {
    this.caller = caller;
    this.position = position;
    this.#taken = position;
  }

  /** Adds what follows the position. If too much waits, the reader falls behind instead. */
  offer(events: FeedEvent[], next: LogPosition): void {
    if (this.#count + events.length > maxWaiting) {
      this.position = this.#taken;
      this.#waiting = [];
      this.#count = 0;
    } else {
      this.position = next;
      if (events.length > 0) this.#waiting.push({ events, next });
      else if (this.#count === 0) this.#taken = next;
      this.#count += events.length;
    }
    if (this.position !== next || events.length > 0) this.#wake();
  }

  /** Moves a reader for which nothing waits. */
  moveTo(position: LogPosition): void {
    this.position = position;
    this.#taken = position;
  }

  take(): Batch | undefined {
    const batch = this.#waiting.shift();
    if (batch !== undefined) {
      this.#taken = batch.next;
      this.#count -= batch.events.length;
    }
    return batch;
  }

  wake(): void {
    this.#wake();
  }

  /** @returns false if the time is over */
  async untilMore(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}
