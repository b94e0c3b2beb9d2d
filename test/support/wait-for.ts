/** The one way in which tests wait: for a state, never for a time. */
import { setTimeout as delay } from 'node:timers/promises';

type Truthy<T> = Exclude<T, undefined | null | false>;

/**
 * Resolves to the first truthy value that `read` gives. It is read every 5 ms.
 *
 * @param options.boundMs only ends a test that hangs. Default: 60 s
 * @throws {Error} that names what was waited for, and shows the last value
 */
export async function waitFor<T>(
  what: string,
  read: () => T | Promise<T>,
  options: { boundMs?: number } = {},
): Promise<Truthy<T>> {
  const boundMs = options.boundMs ?? 60_000;
  const deadline = performance.now() + boundMs;
  for (;;) {
    const value = await read();
    if (value) return value as Truthy<T>;
    if (performance.now() > deadline) {
      throw new Error(`waited ${boundMs / 1000} s for ${what}; the last value was ${JSON.stringify(value)}`);
    }
    await delay(5);
  }
}
