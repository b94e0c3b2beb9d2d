/** Repeats of what met a deadlock. The database has rolled it back, so that a repetition is safe. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeadlock } from './errors.ts';

const maxRepetitions = 3;
const maxFirstPauseMs = 20;

/**
 * Runs a statement or transaction, and again after a deadlock, at most three times. The pause before each repetition
 * is random and grows: without it, the repetition may take its first lock before the other transaction is scheduled,
 * and both wait for each other again.
 */
export async function repeatAfterDeadlock<T>(run: () => Promise<T>): Promise<T> {
  for (let repetition = 0; ; repetition += 1) {
    try {
      return await run();
    } catch (error) {
      if (!isDeadlock(error) || repetition === maxRepetitions) throw error;
    }
    await sleep((0.5 + Math.random() / 2) * maxFirstPauseMs * 2 ** repetition);
  }
}
