/** Receivers that accept connections and never answer. */
import { createServer } from 'node:http';
import type { Cleanup } from '../cleanup.ts';
import { listen } from '../network/listen.ts';

export interface Tarpits {
  readonly urls: readonly string[];
  /** Requests that have arrived at all of them. */
  requests(): number;
}

/** Starts this many on ports of their own. */
export async function startTarpits(t: Cleanup, count: number): Promise<Tarpits> {
  let requests = 0;
  const start = async () =>
    listen(
      t,
      createServer(() => void (requests += 1)),
    );
  const urls = await Promise.all(Array.from({ length: count }, start));
  return { urls, requests: () => requests };
}
