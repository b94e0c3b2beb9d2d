/** Cleanups of tests and tools. The resource that was started last is closed first. */
import { after } from 'node:test';

/** Runs cleanups at the end, as the context of a test does. */
export interface Cleanup {
  after(run: () => unknown): void;
}

/** Collects cleanups until `run` is called. */
export function createCleanup(): Cleanup & { run(): Promise<void> } {
  const cleanups: (() => unknown)[] = [];
  return {
    after: (cleanup) => void cleanups.push(cleanup),
    run: async () => {
      for (const cleanup of cleanups.toReversed()) await cleanup();
    },
  };
}

/** Collects the cleanups of a `before` hook and runs them after all tests of the enclosing `describe`. */
export function createSuiteCleanup(): Cleanup {
  const cleanup = createCleanup();
  after(() => cleanup.run());
  return cleanup;
}
