/** When a call that failed for now is tried again: at once in place, or later with the task parked. Pure. */
export interface Backoff {
  /** Calls in place, the first included. */
  calls: number;
  /** The wait before the second call, doubled for each further one; jittered over its upper half. */
  firstMs: number;
  /** A server that asks for more patience than this gets it parked, without further calls. */
  longestInPlaceMs: number;
}

export const defaultBackoff: Backoff = { calls: 4, firstMs: 400, longestInPlaceMs: 4000 };

/** Milliseconds to wait in place before the next call, or undefined: park. `made` counts the calls so far. */
export function waitsInPlace(
  { calls, firstMs, longestInPlaceMs }: Backoff,
  made: number,
  hintMs: number | undefined,
  random: number,
): number | undefined {
  if (made >= calls) return undefined;
  const own = firstMs * 2 ** (made - 1) * (0.5 + random / 2);
  // All who were told the same time would come at the same time.
  const wait = Math.max(own, (hintMs ?? 0) * (1 + random / 4));
  return wait <= longestInPlaceMs ? wait : undefined;
}

const SHORTEST_PARK_MS = 5000;
const LONGEST_PARK_MS = 15 * 60_000;
const UNHINTED_PARK_MS = 30_000;

/** Milliseconds for which nobody calls a model that asks for patience; 0: it does not. Then somebody looks again. */
export function patienceFor(hintMs: number | undefined): number {
  return Math.min(LONGEST_PARK_MS, hintMs ?? 0);
}

/** Milliseconds that a task is parked: as the server asks within bounds, else about half a minute. */
export function parkFor(hintMs: number | undefined, random: number): number {
  const wanted = (hintMs ?? UNHINTED_PARK_MS) * (1 + random / 4);
  return Math.min(LONGEST_PARK_MS, Math.max(SHORTEST_PARK_MS, wanted));
}
