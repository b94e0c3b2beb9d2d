/**
 * Feeds: the events of all tasks of a caller. One loop reads the log for all readers, with one query for all their
 * callers, and the readers of a caller share what it finds. A reader that starts at an earlier position, or falls behind,
 * joins the loop at once, and first reads the pages up to the position at which it joined:
 *
 *   reader: behind ──joins──▶ reads pages ──▶ level ──what the loop finds──▶ level
 *              ▲                   │            │
 *              └───────────────────┴────────────┘ too much waits for it
 */
import { errorMessage, type Logger } from '../../runtime/log.ts';
import { isPassing } from '../client/errors.ts';
import type { Db } from '../client/pool.ts';
import type { Caller } from '../tasks/visibility.ts';
import { createPageReader, readFeedPage, toKey } from './feed-page.ts';
import { createBatch, FeedReader, type FeedBatch, type FeedChunk } from './feed-reader.ts';
import type { EventHints } from './hints.ts';
import { readLogPosition, type LogPosition } from './read.ts';

/** A reader without events learns the position this often, so that it need not read far when it returns. */
const idleMs = 15_000;
/** The least time between two polls that were hinted at, and the most. */
const gapMs = { least: 20, most: 500 };

export interface Feed {
  /**
   * Yields chunks until `signal` aborts or the feed closes. The first one has only the position, and comes at once.
   *
   * @param from continues at a position that an earlier chunk had. Default: now
   */
  follow(
    caller: Caller,
    from: LogPosition | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<FeedChunk, void, undefined>;
  /** @returns whether the database can have issued the position */
  isKnown(position: LogPosition): Promise<boolean>;
  close(): void;
}

export function createFeed(parts: {
  db: Db;
  hints: Pick<EventHints, 'listen'>;
  log: Logger;
  pollMs?: number;
}): Feed {
  const { db, hints, log, pollMs = 50 } = parts;
  const readPage = createPageReader(db);
  /** Readers that have joined, by caller. */
  const groups = new Map<string, { caller: Caller; readers: Set<FeedReader> }>();
  const joining = new Map<FeedReader, PromiseWithResolvers<void>>();
  let position: LogPosition | undefined;
  let isPolling = false;
  let isRunning = false;
  let isHinted = false;
  let endPause: () => void = () => undefined;
  const closing = new AbortController();
  hints.listen(() => {
    isHinted = true;
    endPause();
  });

  async function run(): Promise<void> {
    isRunning = true;
    while (groups.size + joining.size > 0 && !closing.signal.aborted) {
      isHinted = false;
      const more = await poll().catch(async (error: unknown) => {
        log[isPassing(error) ? 'debug' : 'warn']({ error: errorMessage(error) }, 'polling for feeds failed');
        for (const { reject } of joining.values()) reject(error);
        joining.clear();
        await sleep(500);
        return false;
      });
      // A reader that has read further waits for the next poll.
      if (joining.size > 0) isHinted = true;
      if (!more) await pause();
    }
    isRunning = false;
    position = undefined;
  }

  /** @returns whether there is more to read now */
  async function poll(): Promise<boolean> {
    position ??= await readLogPosition(db);
    const from = position;
    admit(from);
    isPolling = true;
    try {
      const callers = [...groups.values()].map(({ caller }) => caller);
      const { events, next, more } = await readFeedPage(db, callers, { from });
      position = next;
      for (const [key, found] of Map.groupBy(events, ({ caller }) => toKey(caller))) {
        const own = found.map(({ event }) => event);
        offer(key, createBatch(own, from, next));
      }
      return more;
    } finally {
      isPolling = false;
      admit(position);
    }
  }

  function offer(key: string, batch: FeedBatch): void {
    for (const reader of groups.get(key)?.readers ?? []) {
      if (!reader.offer(batch)) leave(reader);
    }
  }

  /** Waits at least as long as it took to serve the readers, so that they get at most half of the time. */
  async function pause(): Promise<void> {
    const servedFrom = performance.now();
    await new Promise((resolve) => setImmediate(resolve));
    const busyMs = performance.now() - servedFrom;
    const leastMs = Math.min(Math.max(gapMs.least, busyMs), gapMs.most);
    await sleep(leastMs);
    if (!isHinted && !closing.signal.aborted)
      await sleep(Math.max(0, pollMs - leastMs), (end) => (endPause = end));
  }

  /** Resolves when the loop offers what it finds to the reader: after the current poll, which does not include it. */
  async function join(reader: FeedReader): Promise<void> {
    const joined = Promise.withResolvers<void>();
    joining.set(reader, joined);
    if (closing.signal.aborted) joined.resolve();
    else if (!isRunning) void run();
    else if (!isPolling && position !== undefined) admit(position);
    if (joining.has(reader)) endPause();
    await joined.promise.finally(() => joining.delete(reader));
  }

  /** Admits the readers that wait, but for those that have read further than the loop, at another process. */
  function admit(at: LogPosition): void {
    for (const [reader, { resolve }] of joining) {
      if (reader.seen !== undefined && BigInt(reader.seen.xmax) > BigInt(at.xmax)) continue;
      joining.delete(reader);
      const key = toKey(reader.caller);
      const group = groups.get(key) ?? { caller: reader.caller, readers: new Set() };
      groups.set(key, group);
      group.readers.add(reader);
      reader.join(at);
      resolve();
    }
  }

  function leave(reader: FeedReader): void {
    const key = toKey(reader.caller);
    const readers = groups.get(key)?.readers;
    readers?.delete(reader);
    if (readers?.size === 0) groups.delete(key);
  }

  async function* follow(
    caller: Caller,
    from: LogPosition | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<FeedChunk, void, undefined> {
    const reader = new FeedReader(caller, from);
    const stop = (): void => reader.wake();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await join(reader);
      if (reader.seen !== undefined) yield createMark(reader.seen);
      while (!signal.aborted && !closing.signal.aborted) {
        if (!reader.isJoined) await join(reader);
        const batch = reader.pagesTo === undefined ? reader.take() : await catchUp(reader, reader.pagesTo);
        if (batch !== undefined) {
          yield* batch.chunks;
          reader.seen = batch.next;
          if (batch.count === 0) yield createMark(batch.next);
        } else if (!(await reader.untilMore(idleMs)) && reader.isLevel && position !== undefined) {
          reader.seen = position;
          yield createMark(position);
        }
      }
    } finally {
      signal.removeEventListener('abort', stop);
      leave(reader);
    }
  }

  /** Reads the next page of a reader, up to the position at which it joined. */
  async function catchUp(reader: FeedReader, to: LogPosition): Promise<FeedBatch> {
    const { seen: from = to, caller } = reader;
    const { batch, more } = await readPage({ caller, from, to });
    if (!more) reader.pagesTo = undefined;
    return batch;
  }

  return {
    follow,
    isKnown: async ({ xmax }) => BigInt(xmax) <= BigInt((await readLogPosition(db)).xmax),
    close: () => {
      closing.abort();
      endPause();
      for (const { resolve } of joining.values()) resolve();
      for (const { readers } of groups.values()) for (const reader of readers) reader.wake();
    },
  };
}

const createMark = (position: LogPosition): FeedChunk => ({ events: [], from: position, next: position });

/** @param onStart gets a function that ends the sleep */
async function sleep(ms: number, onStart?: (end: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    onStart?.(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
