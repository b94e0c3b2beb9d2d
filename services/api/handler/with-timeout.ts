/**
 * A bound on a wait that holds nothing once the wait is over. `AbortSignal.timeout` and `AbortSignal.any` hold theirs until
 * the time is: most waits end long before it.
 *
 * @param signal ends the wait as well
 * @param run is given a signal that aborts with the other, or after `ms`
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const bound = new AbortController();
  const end = (): void => bound.abort();
  const timer = setTimeout(end, ms);
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    return await run(bound.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}
