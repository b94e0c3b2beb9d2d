/**
 * Reads tasks for clients that poll. A cached task is returned until its version in the database changes.
 * Each read queries the version, with owner and tenant (invariant 9). That is one narrow read, whereas
 * reading the task itself takes several.
 */
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import {
  createVersionReader,
  readTaskSnapshots,
  type ReadOptions,
  type TaskRead,
  type TaskSnapshot,
  type TaskVersion,
} from './read.ts';
import type { Caller } from './visibility.ts';

/** Several readers may share a returned snapshot: it must not be changed. */
type ReadCachedTask = (
  caller: Caller,
  taskId: string,
  options?: ReadOptions,
) => Promise<TaskSnapshot | undefined>;

/** Maximum number of cached tasks, and of characters in each: 32 MB if all had that length. */
const maxCached = 2_000;
const maxCachedLength = 16_384;

export function createCachedReader(db: Db): ReadCachedTask {
  // Two lanes, so that a large task delays only the reads of its own set.
  const read = createBatcher((reads: readonly TaskRead[]) => readTaskSnapshots(db, reads), {
    max: 64,
    lanes: 2,
  });
  const readVersion = createVersionReader(db);
  /** In the order in which they were read. */
  const cache = new Map<string, TaskSnapshot>();

  function addToCache(key: string, snapshot: TaskSnapshot): void {
    cache.set(key, snapshot);
    if (cache.size <= maxCached) return;
    const [oldest = key] = cache.keys();
    cache.delete(oldest);
  }

  return async (caller, taskId, options = {}) => {
    // The version does not change when a task becomes shown.
    if (options.includeHidden === true) return read({ caller, taskId, options });
    const { historyLength = 'all', includeArtifacts = true } = options;
    const key = `${taskId} ${historyLength} ${includeArtifacts}`;
    const cached = cache.get(key);
    if (cached !== undefined) {
      if (isCurrent(cached, await readVersion(caller, taskId))) return cached;
      cache.delete(key);
    }
    const snapshot = await read({ caller, taskId, options });
    if (snapshot !== undefined && subtractLength(maxCachedLength, snapshot.task) >= 0)
      addToCache(key, snapshot);
    return snapshot;
  };
}

function isCurrent(snapshot: TaskSnapshot, version: TaskVersion | undefined): boolean {
  return (
    snapshot.lastEvent === version?.lastEvent &&
    snapshot.lastTurn === version.lastTurn &&
    snapshot.modelCalls === version.modelCalls
  );
}

/**
 * Subtracts a value's characters from a length, and stops below 0: large tasks are not counted to the end.
 */
function subtractLength(length: number, value: unknown): number {
  if (typeof value === 'string') return length - value.length;
  if (typeof value !== 'object' || value === null) return length - 8;
  let remaining = length;
  for (const [key, child] of Object.entries(value)) {
    if (remaining < 0) break;
    remaining = subtractLength(remaining - key.length, child);
  }
  return remaining;
}
