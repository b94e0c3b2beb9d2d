/** Where the local stack keeps its logs: JSON lines in its data directory, which only its user can read. */
import path from 'node:path';

/** The file with the newest lines. */
export function getDevLog(dataDir: string): string {
  return path.join(dataDir, 'dev.log');
}

/** The file with those before: it is replaced when the other one is full. */
export function getOlderDevLog(dataDir: string): string {
  return `${getDevLog(dataDir)}.1`;
}
