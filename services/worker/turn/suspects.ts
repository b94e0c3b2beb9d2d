/**
 * Isolates turns that may kill their worker. All turns of a worker that dies lose an attempt, so the one that kills
 * it would use up the attempts of the others. After two such deaths in a row, a turn is a suspect: a worker runs one
 * suspect at a time and puts the others back, which spends no attempt. The next death then concerns one suspect.
 */
import type { Claimed } from '#shared/db/turns/claim.ts';

/** A turn is a suspect after this many attempts without a word, or earlier if it has no more than one left. */
const attemptsBeforeSuspicion = 2;
/** A turn that has run this long is no longer a suspect: those that kill their worker do so early. */
const suspicionMs = 60_000;
/** A suspect that is put back is due again after a time between this and its double, in seconds. */
const putBackSeconds = 2;

export function isSuspect(
  { attempts, crashed }: Pick<Claimed, 'attempts' | 'crashed'>,
  maxAttempts: number,
): boolean {
  return crashed && attempts > Math.max(1, Math.min(attemptsBeforeSuspicion, maxAttempts - 1));
}

/** The suspicion of a turn that runs. */
export interface Suspicion {
  readonly isCleared: boolean;
  clear: () => void;
}

/** For a turn that is not a suspect. */
export const noSuspicion: Suspicion = { isCleared: true, clear: () => undefined };

export class Suspects {
  #running: Suspicion | undefined;

  /** Returns undefined if another suspect runs. */
  enter(): Suspicion | undefined {
    if (this.#running !== undefined) return undefined;
    let isCleared = false;
    const suspicion: Suspicion = {
      get isCleared() {
        return isCleared;
      },
      clear: () => {
        isCleared = true;
        clearTimeout(timer);
        if (this.#running === suspicion) this.#running = undefined;
      },
    };
    const timer = setTimeout(suspicion.clear, suspicionMs).unref();
    this.#running = suspicion;
    return suspicion;
  }

  /** Returns after how many seconds a suspect that is put back is due. */
  static delaySeconds(): number {
    return putBackSeconds * (1 + Math.random());
  }
}
