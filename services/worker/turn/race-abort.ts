/**
 * Waits for work, but for at most 500 ms after its signal aborts, so that code that ignores the signal delays neither a
 * release nor a time limit. Abandoned work keeps running without effect: its turn is
 * released or ended by then, and the fence refuses its writes (invariant 3).
 */
const graceMs = 500;

/** @throws the error of the work, or the reason of the signal */
export function raceAbort<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      timer = setTimeout(() => reject(signal.reason), graceMs);
    };
    const cleanUp = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    work.then(resolve, reject);
    work.then(cleanUp, cleanUp);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
