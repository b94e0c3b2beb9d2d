/**
 * Locks a data directory, so that only one stack uses it. The kernel releases the lock however its holder
 * ends. A pid file alone would go stale, and its pid could belong to another process by then. Node has no
 * flock, so an exclusive transaction of SQLite serves as the lock.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export class DataInUseError extends Error {
  override readonly name = 'DataInUseError';
}

export interface DataLock {
  release(): void;
}

/** @throws {DataInUseError} with the pid of the process that holds the lock */
export function lockData(dir: string): DataLock {
  const pidFile = path.join(dir, 'lock.pid');
  const database = new DatabaseSync(path.join(dir, 'lock'));
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    const busy = error instanceof Error && 'errcode' in error && error.errcode === 5;
    if (!busy) throw error;
    throw new DataInUseError(
      `the data in ${dir} is in use by process ${readPid(pidFile)}. Stop that process, or set DATA_DIR to another directory`,
      { cause: error },
    );
  }
  writeFileSync(pidFile, `${process.pid}\n`);
  return {
    release: () => {
      if (database.isOpen) database.close();
    },
  };
}

function readPid(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim() || 'unknown';
  } catch {
    return 'unknown';
  }
}
