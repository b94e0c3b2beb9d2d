import { after } from 'node:test';
import type { Cleanup } from './processes/processes.ts';

/** Closes, after all tests of the enclosing `describe`, what its `before` hook has started. The last started is closed first. */
export function createSuiteCleanup(): Cleanup {
  const cleanups: (() => unknown)[] = [];
  after(async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup();
  });
  return { after: (cleanup) => void cleanups.push(cleanup) };
}
