/** Shows the progress that a tool reports to clients: at most once a second, because each message is stored. */
import type { LoopTurn } from '../conversation/recorded-turn.ts';

const intervalMs = 1000;
const maxChars = 500;

export interface CallProgress {
  report: (progress: string) => void;
  /** Resolves when nothing more is written. */
  close: () => Promise<void>;
}

/** @param name of the tool */
export function createCallProgress(turn: Pick<LoopTurn, 'progress'>, name: string): CallProgress {
  let latest = '';
  let timer: NodeJS.Timeout | undefined;
  let writtenAt = -Infinity;
  let closed = false;
  let writing: Promise<void> = Promise.resolve();

  function write(): void {
    timer = undefined;
    writtenAt = performance.now();
    // The signal of the turn aborts the call if the lease is lost.
    writing = turn.progress(`${name}: ${latest}`).catch(() => undefined);
  }

  return {
    report: (progress) => {
      if (closed) return;
      latest = progress.slice(0, maxChars);
      timer ??= setTimeout(write, Math.max(0, writtenAt + intervalMs - performance.now()));
    },
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await writing;
    },
  };
}
