/**
 * Stops a server of an earlier run that is still shutting down or orphaned, and removes its pid file. The
 * caller holds the lock on the data, so such a server has no owner. PostgreSQL itself checks only the pid,
 * and refuses to start if another process has that pid now (after a reboot, or in a container).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** @throws {Error} if the server is still running after 10 seconds */
export async function stopLeftoverServer(clusterDir: string): Promise<void> {
  const pidFile = path.join(clusterDir, 'postmaster.pid');
  const pid = readPid(pidFile);
  if (pid === undefined) return;
  for (let waited = 0; getCommand(pid).includes(clusterDir); waited += 20) {
    // The guard of the earlier run has probably sent SIGINT already, so wait first.
    if (waited === 200) process.kill(pid, 'SIGINT');
    if (waited === 5000) process.kill(pid, 'SIGKILL');
    if (waited === 10_000)
      throw new Error(
        `a PostgreSQL server (process ${pid}) is using ${clusterDir} and does not stop. Kill it and start again`,
      );
    await sleep(20);
  }
  rmSync(pidFile, { force: true });
}

function readPid(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8').split('\n', 1)[0]);
    return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the command line of a process, or an empty string if the process does not exist. */
function getCommand(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    const ps = spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
    return ps.status === 0 ? ps.stdout : '';
  }
}
