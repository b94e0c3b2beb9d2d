/** Repeats what failed because the database was unavailable. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPassing } from './errors.ts';

const repeatMs = 200;

/**
 * Repeats an operation while it fails for a passing reason, until a time by `performance.now()`. A try whose answer was
 * lost may have been committed: the operation must be safe to repeat.
 *
 * @throws the error of the last try
 */
export async function repeatUntil<T>(until: number, operation: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      if (!isPassing(error) || performance.now() > until) throw error;
    }
    await sleep(repeatMs);
  }
}
