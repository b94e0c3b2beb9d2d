/** Bounds the time of a request to another agent. */

/** The longest time of a timer of Node. */
const longestMs = 2 ** 31 - 1;

/** The other agent has not answered in time. */
export class LateError extends Error {
  override readonly name = 'LateError';
}

/**
 * @param seconds at least one second is given
 * @param request must end when its signal aborts
 * @throws {LateError} if the time is over
 */
export async function within<T>(
  seconds: number,
  signal: AbortSignal,
  request: (bound: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const ms = Math.min(longestMs, Math.max(1, seconds) * 1000);
  const timer = setTimeout(() => late.abort(new LateError('The agent has not answered in time.')), ms);
  try {
    return await request(AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
