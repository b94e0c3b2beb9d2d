/**
 * Chooses the system user that runs PostgreSQL. PostgreSQL refuses to run as root, so root runs it as the
 * owner of the data, or as `nobody` if there is no data yet.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';

export interface SystemUser {
  /** Unsigned. */
  readonly uid: number;
  readonly gid: number;
}

/** Returns the user that must run PostgreSQL on this data. Undefined: the user of this process. */
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
      'PostgreSQL cannot run as root, and /etc/passwd has no user "nobody". Start as a user other than root',
    );
  }
  return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
}

/** Whether the user can enter a directory. Tries it, because ACLs and mounts make file modes unreliable. */
export function canEnter(dir: string, user: SystemUser | undefined): boolean {
  const shell = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', dir], { cwd: '/', ...getSpawnIds(user) });
  return shell.status === 0;
}

/** Returns the `spawn` options for a user. Ids are signed 32-bit numbers: `nobody` is -2 on macOS. */
export function getSpawnIds(user: SystemUser | undefined): { uid?: number; gid?: number } {
  return user === undefined ? {} : { uid: user.uid | 0, gid: user.gid | 0 };
}
