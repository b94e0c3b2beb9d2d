/**
 * Reads tasks for clients that poll. A cached task is returned until its version in the database changes.
 * Each read queries the version, with owner and tenant (invariant 9). That is one narrow read, whereas
 * reading the task itself takes several.
 */
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import { FairLanes } from '../../runtime/fair-lanes.ts';
import { largeWork } from '../../runtime/large-work.ts';
import { openTask } from './content.ts';
import {
  createVersionReader,
  readTaskRows,
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

/** Maximum number of cached tasks, and of bytes in each: 32 MB if all had that size. */
const maxCached = 2_000;
const maxCachedBytes = 16_384;

/**
 * Each of history, artifacts and chunks of a task that is read together with others, so that a set of them remains small.
 * Larger tasks are read once more, one by one, and are parsed when the event loop is free for them.
 */
const maxSmallBytes = 64 * 1024;

/**
 * Sets of old tasks wait for the disk: a statement reads one page after the other, about ten for each task that is not in
 * memory. Several lanes read at the same time, and a large task delays only the reads of its own set.
 */
const smallReads = { max: 32, lanes: 4 };

export function createCachedReader(db: Db): ReadCachedTask {
  const readSmall = createBatcher(async (reads: readonly TaskRead[]) => {
    const rows = await readTaskRows(db, reads, maxSmallBytes);
    return Promise.all(rows.map(async (row, index) => row && openTask(row, reads[index]?.options ?? {})));
  }, smallReads);
  const largeReads = new FairLanes(2);
  const readVersion = createVersionReader(db);
  /** In the order in which they were read. */
  const cache = new Map<string, TaskSnapshot>();

  function addToCache(key: string, snapshot: TaskSnapshot): void {
    cache.set(key, snapshot);
    if (cache.size <= maxCached) return;
    const [oldest = key] = cache.keys();
    cache.delete(oldest);
  }

  async function read(taskRead: TaskRead): Promise<TaskSnapshot | undefined> {
    const found = await readSmall(taskRead);
    if (found?.isCut !== true) return found;
    const { owner } = taskRead.caller;
    // A row waits in its lane, so that few large ones are in memory.
    return largeReads.run(owner, async () => {
      const [row] = await readTaskRows(db, [taskRead]);
      await largeWork.start(owner);
      return row && openTask(row, taskRead.options);
    });
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
    if (snapshot !== undefined && snapshot.bytes <= maxCachedBytes) addToCache(key, snapshot);
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
