/** One reader of a feed: what waits for it, and the position that it has reached. */
import type { FeedEvent } from '../../domain/views.ts';
import type { Caller } from '../tasks/visibility.ts';
import type { LogPosition } from './read.ts';

/** Events that wait for one reader, unless a single batch has more. Readers of a caller share them. */
const maxWaiting = 1_000;
/** Events of one chunk: about 30 KB as text. */
const maxChunk = 100;

/** Events in order, or only a position. Readers of a caller that are up to date get the same object. */
export interface FeedChunk {
  readonly events: readonly FeedEvent[];
  /** A reader that has seen a part of the chunk continues here: it may see events of the same moment again. */
  readonly from: LogPosition;
  /** A reader that has seen the whole chunk continues here. */
  readonly next: LogPosition;
}

/** The events of a caller between two positions. */
export interface FeedBatch {
  readonly chunks: readonly FeedChunk[];
  readonly count: number;
  readonly next: LogPosition;
}

export function createBatch(events: readonly FeedEvent[], from: LogPosition, next: LogPosition): FeedBatch {
  const chunks: FeedChunk[] = [];
  for (let start = 0; start < events.length; start += maxChunk) {
    // A position lies between transactions, and their events are in several chunks: only the last one moves it.
    const isLast = start + maxChunk >= events.length;
    chunks.push({ events: events.slice(start, start + maxChunk), from, next: isLast ? next : from });
  }
  return { chunks, count: events.length, next };
}

export class FeedReader {
  readonly caller: Caller;
  /** The position after everything that the reader has got. Undefined until it has joined. */
  seen: LogPosition | undefined;
  /** The reader is offered what the loop finds. */
  isJoined = false;
  /** The reader has joined here, and still has to read pages of its own up to here. */
  pagesTo: LogPosition | undefined;
  #waiting: FeedBatch[] = [];
  #count = 0;
  #wake: () => void = () => undefined;

  constructor(caller: Caller, from: LogPosition | undefined) {
    this.caller = caller;
    this.seen = from;
  }

  /** @param position where the loop is: the reader is offered what follows */
  join(position: LogPosition): void {
    this.isJoined = true;
    if (this.seen === undefined) this.seen = position;
    else this.pagesTo = position;
  }

  /** @returns false if too much waits: the reader has left, and forgets what waits */
  offer(batch: FeedBatch): boolean {
    if (this.#waiting.length === 0 || this.#count + batch.count <= maxWaiting) {
      this.#waiting.push(batch);
      this.#count += batch.count;
    } else {
      this.isJoined = false;
      this.pagesTo = undefined;
      this.#waiting = [];
      this.#count = 0;
    }
    this.#wake();
    return this.isJoined;
  }

  take(): FeedBatch | undefined {
    const batch = this.#waiting.shift();
    if (batch !== undefined) this.#count -= batch.count;
    return batch;
  }

  /** Everything before the position of the loop has been taken. */
  get isLevel(): boolean {
    return this.isJoined && this.pagesTo === undefined && this.#waiting.length === 0;
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
