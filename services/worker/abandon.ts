/**
 * Waits for work that is to heed a signal; once that has aborted, for a moment only. Code that does not look at its
 * signal holds up neither a hand-back nor a limit. What is left behind goes on for nothing: its turn is given back or
 * ended, and so the fence refuses what it still writes (invariant 3).
 */
const patienceMs = 500;

/** @throws what the work throws, or the reason of the signal */
export async function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const abandoned = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const abort = (): void => {
    timer = setTimeout(() => abandoned.reject(signal.reason), patienceMs);
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, abandoned.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
