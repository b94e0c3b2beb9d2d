/**
 * Waits for work, but for at most 500 ms after its signal aborts, so that code that ignores the signal delays neither a
 * release nor a time limit. Abandoned work keeps running without effect: its turn is
 * released or ended by then, and the fence refuses its writes (invariant 3).
 */
const graceMs = 500;

/**
 * @param works the first that ends decides
 * @throws the error of the work, or the reason of the signal
 */
export function raceAbort<T>(signal: AbortSignal, ...works: readonly (T | Promise<T>)[]): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      timer = setTimeout(() => reject(signal.reason), graceMs);
    };
    const cleanUp = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    const succeed = (result: T): void => {
      cleanUp();
      resolve(result);
    };
    const fail = (error: unknown): void => {
      cleanUp();
      reject(error);
    };
    for (const work of works) Promise.resolve(work).then(succeed, fail);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
