/** Observes the pieces of large work of this process (shared/runtime/large-work.ts). */
import type { TestContext } from 'node:test';
import { largeWork } from '#shared/runtime/large-work.ts';

export interface LargePieces {
  /** The names under which pieces have started. */
  readonly started: string[];
  /** Whether a piece runs now: it started in the same iteration of the event loop. */
  readonly isInPiece: () => boolean;
}

export function observeLargePieces(t: Pick<TestContext, 'mock' | 'after'>): LargePieces {
  const started: string[] = [];
  let iteration = 0;
  let startedIn = -1;
  let next: NodeJS.Immediate;
  const count = (): void => {
    iteration += 1;
    next = setImmediate(count);
  };
  count();
  t.after(() => clearImmediate(next));
  const start = largeWork.start.bind(largeWork);
  t.mock.method(largeWork, 'start', async (name: string) => {
    await start(name);
    started.push(name);
    startedIn = iteration;
  });
  return { started, isInPiece: () => startedIn === iteration };
}
