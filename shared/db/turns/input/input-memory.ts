/** The memory that the input of one turn takes in its worker, and what of the input fits into it. */
import { estimateHeapBytes } from './heap-estimate.ts';

export interface InputMemory {
  /** The most that one turn may take, in bytes. */
  readonly maxBytes: number;
  /** Resolves when the worker has this many bytes free for the turn. */
  take(bytes: number): Promise<void>;
}

export interface Sized {
  bytes: number;
}

/** Returns the first items whose sizes together do not exceed the maximum. */
export function takeWhileFits<T extends Sized>(items: readonly T[], maxBytes: number): T[] {
  let bytes = 0;
  const end = items.findIndex((item) => (bytes += item.bytes) > maxBytes);
  return items.slice(0, end === -1 ? undefined : end);
}

/** Returns the bytes that JSON texts take once they are parsed. */
export function estimateTexts(texts: readonly (string | null)[]): number {
  return texts.reduce((total, text) => total + (text === null ? 0 : estimateHeapBytes(text)), 0);
}
