/**
 * Watches the memory of this process. Near its limit the worker claims nothing more, so that the turns that it runs
 * can end; a worker without turns always claims one.
 */
import v8 from 'node:v8';

/** The share of a limit from which on the worker claims nothing more. */
const maxShare = 0.85;
/** How long a measurement is used. */
const maxAgeMs = 100;

export interface MemoryWatch {
  /** The used share of the heap limit of V8, or of the memory limit of the container if that is higher. */
  readonly usedShare: number;
  /** @param running number of turns that run in this process */
  readonly mayClaim: (running: number) => boolean;
}

export function createMemoryWatch(measure: () => number = measureShare): MemoryWatch {
  let share = 0;
  let measuredAt = Number.NEGATIVE_INFINITY;
  const read = (): number => {
    if (performance.now() - measuredAt > maxAgeMs) {
      share = measure();
      measuredAt = performance.now();
    }
    return share;
  };
  return {
    get usedShare() {
      return read();
    },
    mayClaim: (running) => running === 0 || read() < maxShare,
  };
}

function measureShare(): number {
  const { used_heap_size: used, heap_size_limit: limit } = v8.getHeapStatistics();
  // Zero, or more than any machine has, if the container has no limit.
  const container = process.constrainedMemory();
  return Math.max(used / limit, container > 0 ? process.memoryUsage.rss() / container : 0);
}
