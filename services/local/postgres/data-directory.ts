/**
 * Prepares the data directory. The user that runs PostgreSQL must be able to enter it. When root starts the
 * stack, PostgreSQL runs as another user (see system-user.ts), which may have no access. An empty directory
 * is then opened to all users. If a parent directory is private, a system directory is used instead, and the
 * banner says so.
 */
import { createHash } from 'node:crypto';
import { accessSync, chmodSync, constants, mkdirSync, readdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { canEnter, getDatabaseUser, type SystemUser } from '../processes/system-user.ts';

export interface DataDirectory {
  /** An existing directory that `user` can enter. */
  readonly dir: string;
  /** The database cluster. It may not exist yet. */
  readonly clusterDir: string;
  /** The user that runs PostgreSQL. Undefined: the user of this process. */
  readonly user: SystemUser | undefined;
}

const systemDirs = ['/var/lib/longhaul', '/usr/local/var/longhaul', '/var/tmp/longhaul'];

/**
 * Creates the directory if needed.
 *
 * @throws {Error} if it is not writable, belongs to another user, or cannot be entered by the PostgreSQL user
 */
export function prepareDataDirectory(requested: string): DataDirectory {
  const dir = createDir(path.resolve(requested));
  const directory = describeDirectory(dir);
  if (directory.user === undefined) {
    assertOwned(directory);
    return directory;
  }
  if (canEnter(dir, directory.user)) return directory;
  if (readdirSync(dir).length === 0) {
    chmodSync(dir, 0o711);
    if (canEnter(dir, directory.user)) return directory;
  }
  const name = `${path.basename(path.dirname(dir))}-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`;
  for (const base of systemDirs) {
    try {
      mkdirSync(base, { recursive: true, mode: 0o711 });
      const fallback = describeDirectory(createDir(path.join(base, name)));
      if (canEnter(fallback.dir, fallback.user)) return fallback;
    } catch {
      // Not writable: try the next one.
    }
  }
  throw new Error(
    `PostgreSQL cannot run as root, and user ${directory.user.uid} cannot enter ${dir}. ` +
      'Set DATA_DIR to a directory that all users can enter, or start as a user other than root',
  );
}

function describeDirectory(dir: string): DataDirectory {
  const clusterDir = path.join(dir, 'postgres');
  return { dir, clusterDir, user: getDatabaseUser(clusterDir) };
}

function createDir(dir: string): string {
  try {
    mkdirSync(dir, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
    accessSync(dir, constants.W_OK | constants.X_OK);
    return realpathSync(dir);
  } catch (error) {
    throw new Error(`cannot write to ${dir}. Set DATA_DIR to a directory that you own`, { cause: error });
  }
}

function assertOwned({ clusterDir }: DataDirectory): void {
  const owner = statSync(clusterDir, { throwIfNoEntry: false })?.uid;
  if (owner !== undefined && owner !== process.getuid?.()) {
    throw new Error(
      `the data in ${clusterDir} belongs to another user (${owner}). Start as that user, or set DATA_DIR to another directory`,
    );
  }
}
