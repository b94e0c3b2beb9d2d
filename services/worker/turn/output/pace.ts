/**
 * Limits how fast the turns of one owner store output in this process. Storing it takes time of the event loop and of the database by its
 * size, so the turns of one owner that write without a pause would slow down those of all others.
 *
 *   little output                        ─▶ stored at once
 *   the owner has bytes of its rate left ─▶ stored, large pieces one at a time, in turn with those of other owners
 *   it has none                          ─▶ the write waits until it has. Its turn keeps its lease and its slot
 */
import { ByteRates } from '#shared/runtime/byte-rates.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';

/** The pace of one turn. */
export interface OutputPace {
  /** Resolves when the turn may store this many bytes. A wait ends early if a signal of the turn aborts. */
  wait(bytes: number): Promise<void>;
  /** Resolves when the next piece of large content may be processed. */
  nextPiece(): Promise<void>;
}

/** @param signals of the turn: it should be released, or is lost */
export type OpenOutputPace = (owner: string, signals: readonly AbortSignal[]) => OutputPace;

/** @param bytesPerSecond of one owner; 0: no limit */
export function createOutputPace(bytesPerSecond: number, largeWork: LargeWork): OpenOutputPace {
  const rates = bytesPerSecond > 0 ? new ByteRates(bytesPerSecond) : undefined;
  return (owner, signals) => ({
    wait: async (bytes) => {
      const waitMs = rates?.reserve(owner, bytes) ?? 0;
      if (waitMs > 0) {
        instruments.outputDelay.record(waitMs / 1000);
        await sleepUnlessAborted(waitMs, signals);
      }
      if (bytes >= minLargeBytes) await largeWork.start(owner);
    },
    nextPiece: () => largeWork.start(owner),
  });
}

function sleepUnlessAborted(ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    for (const signal of signals) signal.addEventListener('abort', end, { once: true });
    if (signals.some(({ aborted }) => aborted)) end();
  });
}
