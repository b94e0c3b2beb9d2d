/**
 * One stack for one set of data. The lock belongs to the kernel and so dies with its holder, however that ends; a pid
 * file alone would go stale, and its pid could by then be another process. Node has no flock, but SQLite's exclusive
 * transaction is exactly such a lock.
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

/** @throws {DataInUseError} naming the process that holds the data */
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
      `the data in ${dir} are in use by process ${readPid(pidFile)}: stop it first, or set DATA_DIR to another directory`,
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
