/**
 * PostgreSQL refuses to run as root, so root hands it to another user: the owner of the data where there is any,
 * `nobody` otherwise.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';

export interface SystemUser {
  /** Unsigned. */
  readonly uid: number;
  readonly gid: number;
}

/** The user that PostgreSQL must be run as on these data; undefined: the one we are. */
export function getDatabaseUser(clusterDir: string): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const owner = statSync(clusterDir, { throwIfNoEntry: false });
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return getNobody();
}

export function getNobody(): SystemUser {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('nobody:'));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Error(
      'PostgreSQL does not run as root, and /etc/passwd has no user "nobody": start as another user',
    );
  }
  return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
}

/** Whether the user can reach into a directory. Asked of the system itself: modes alone do not tell (ACLs, mounts). */
export function canEnter(dir: string, user: SystemUser | undefined): boolean {
  const shell = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', dir], { cwd: '/', ...getSpawnIds(user) });
  return shell.status === 0;
}

/** What `spawn` needs to run a program as another user: ids as signed 32-bit numbers (macOS has nobody as -2). */
export function getSpawnIds(user: SystemUser | undefined): { uid?: number; gid?: number } {
  return user === undefined ? {} : { uid: user.uid | 0, gid: user.gid | 0 };
}
