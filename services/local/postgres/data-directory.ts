/**
 * Where the data live. A directory serves when the user that runs PostgreSQL can reach it. As root that is another user
 * (see system-user.ts), who may be kept out: an unused directory of ours is opened for passage; under a closed home the
 * data go to a directory of the system instead, and whoever starts the stack is told so.
 */
import { createHash } from 'node:crypto';
import { accessSync, chmodSync, constants, mkdirSync, readdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { canEnter, getDatabaseUser, type SystemUser } from '../processes/system-user.ts';

export interface DataDirectory {
  /** Exists, and `user` can enter it. */
  readonly dir: string;
  /** Holds the cluster itself; may not exist yet. */
  readonly clusterDir: string;
  readonly user: SystemUser | undefined;
}

const systemPlaces = ['/var/lib/longhaul', '/usr/local/var/longhaul', '/var/tmp/longhaul'];

export function prepareDataDirectory(wanted: string): DataDirectory {
  const dir = makeDir(path.resolve(wanted));
  const place = placeIn(dir);
  if (place.user === undefined) {
    assertOurs(place);
    return place;
  }
  if (canEnter(dir, place.user)) return place;
  if (readdirSync(dir).length === 0) {
    chmodSync(dir, 0o711);
    if (canEnter(dir, place.user)) return place;
  }
  const name = `${path.basename(path.dirname(dir))}-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`;
  for (const base of systemPlaces) {
    try {
      mkdirSync(base, { recursive: true, mode: 0o711 });
      const elsewhere = placeIn(makeDir(path.join(base, name)));
      if (canEnter(elsewhere.dir, elsewhere.user)) return elsewhere;
    } catch {
      // Not writable: the next one.
    }
  }
  throw new Error(
    `PostgreSQL does not run as root, and user ${place.user.uid} cannot reach ${dir}: ` +
      'set DATA_DIR to a directory that every user can enter, or start as another user than root',
  );
}

function placeIn(dir: string): DataDirectory {
  const clusterDir = path.join(dir, 'postgres');
  return { dir, clusterDir, user: getDatabaseUser(clusterDir) };
}

function makeDir(dir: string): string {
  try {
    mkdirSync(dir, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
    accessSync(dir, constants.W_OK | constants.X_OK);
    return realpathSync(dir);
  } catch (error) {
    throw new Error(`cannot write to ${dir}: set DATA_DIR to a directory of yours`, { cause: error });
  }
}

function assertOurs({ clusterDir }: DataDirectory): void {
  const owner = statSync(clusterDir, { throwIfNoEntry: false })?.uid;
  if (owner !== undefined && owner !== process.getuid?.()) {
    throw new Error(
      `the data in ${clusterDir} belong to another user (${owner}): start as that user, or set DATA_DIR to another directory`,
    );
  }
}
