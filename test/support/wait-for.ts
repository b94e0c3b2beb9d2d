/** Tests wait for a state, never for a fixed time. */
import { setTimeout as sleep } from 'node:timers/promises';

type Truthy<T> = Exclude<T, undefined | null | false>;

/**
 * Calls `read` until it returns a truthy value, and resolves to that value.
 *
 * @param what the awaited state, for the error
 * @param options.boundMs only ends a test that hangs. Default: 60 s
 * @param options.everyMs the time between two reads. Default: 5 ms at first, and up to 30 ms after half a second, because reads of
 *   tests that wait for long take the time of the others
 * @throws {Error} with the awaited state and the last value
 */
export async function waitFor<T>(
  what: string,
  read: () => T | Promise<T>,
  options: { boundMs?: number; everyMs?: number } = {},
): Promise<Truthy<T>> {
  const { boundMs = 60_000, everyMs } = options;
  const startedAt = performance.now();
  for (;;) {
    const value = await read();
    if (value) return value as Truthy<T>;
    const waitedMs = performance.now() - startedAt;
    if (waitedMs > boundMs) {
      throw new Error(`waited ${boundMs / 1000} s for ${what}; the last value was ${JSON.stringify(value)}`);
    }
    await sleep(everyMs ?? Math.min(30, 5 + waitedMs / 20));
  }
}
