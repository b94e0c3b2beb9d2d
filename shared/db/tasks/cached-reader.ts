/**
 * Reads tasks for clients that poll, in sets. A task that was read before is held, and given again as long as its version
 * in the database, which is asked for on every read with owner and tenant (invariant 9), is the one that is held: a
 * version is one narrow read, the task itself several.
 */
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import {
  readTasks,
  createVersionReader,
  type Caller,
  type Read,
  type ReadOptions,
  type TaskSnapshot,
  type TaskVersion,
} from './read.ts';

/** What it gives may be given to others again: nobody changes it. */
type ReadTask = (caller: Caller, taskId: string, options?: ReadOptions) => Promise<TaskSnapshot | undefined>;

/** Tasks held at most, and the characters in each: 32 MB if all were of that length. */
const maxHeld = 2_000;
const maxHeldLength = 16_384;

export function createCachedReader(db: Db): ReadTask {
  // A large task holds up those of its own set only.
  const read = createBatcher((reads: readonly Read[]) => readTasks(db, reads), { max: 64, lanes: 2 });
  const readVersion = createVersionReader(db);
  /** In the order in which they were read. */
  const held = new Map<string, TaskSnapshot>();

  function hold(key: string, snapshot: TaskSnapshot): void {
    held.set(key, snapshot);
    if (held.size <= maxHeld) return;
    const [oldest = key] = held.keys();
    held.delete(oldest);
  }

  return async (caller, taskId, options = {}) => {
    // Whether a task was shown is told by no version.
    if (options.includeHidden === true) return read({ caller, taskId, options });
    const { historyLength = 'all', includeArtifacts = true } = options;
    const key = `${taskId} ${historyLength} ${includeArtifacts}`;
    const known = held.get(key);
    if (known !== undefined) {
      if (isOf(known, await readVersion(caller, taskId))) return known;
      held.delete(key);
    }
    const snapshot = await read({ caller, taskId, options });
    if (snapshot !== undefined && leftOf(maxHeldLength, snapshot.task) >= 0) hold(key, snapshot);
    return snapshot;
  };
}

function isOf(snapshot: TaskSnapshot, version: TaskVersion | undefined): boolean {
  return (
    snapshot.lastEvent === version?.lastEvent &&
    snapshot.lastTurn === version.lastTurn &&
    snapshot.modelCalls === version.modelCalls
  );
}

/** What is left of a number of characters after those of a value; below 0 it stops: large tasks are not to be counted out. */
function leftOf(length: number, value: unknown): number {
  if (typeof value === 'string') return length - value.length;
  if (typeof value !== 'object' || value === null) return length - 8;
  let left = length;
  for (const [key, one] of Object.entries(value)) {
    if (left < 0) break;
    left = leftOf(left - key.length, one);
  }
  return left;
}
