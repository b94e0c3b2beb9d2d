/**
 * Waits for work that is to heed a signal; once that has aborted, for a moment only. Code that does not look at its
 * signal holds up neither a hand-back nor a limit. What is left behind goes on for nothing: its turn is given back or
 * ended, and so the fence refuses what it still writes (invariant 3).
 */
const patienceMs = 500;

/** @throws what the work throws, or the reason of the signal */
export function raceAbort<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const abort = (): void => {
      timer = setTimeout(() => reject(signal.reason), patienceMs);
    };
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    work.then(resolve, reject);
    work.then(settle, settle);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
