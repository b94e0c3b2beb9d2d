/**
 * What an earlier server may have left on the data: itself, still shutting down or orphaned, or only its pid file. The
 * caller holds the lock on the data, so no server there has an owner. PostgreSQL itself trusts the pid alone, and
 * refuses to start when another process has got that pid since (after a reboot, or in a container).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export async function endLeftoverServer(clusterDir: string): Promise<void> {
  const pidFile = path.join(clusterDir, 'postmaster.pid');
  const pid = readPid(pidFile);
  if (pid === undefined) return;
  for (let waited = 0; commandOf(pid).includes(clusterDir); waited += 20) {
    // Not at once: the guard of the earlier run has most likely asked it already.
    if (waited === 200) process.kill(pid, 'SIGINT');
    if (waited === 5000) process.kill(pid, 'SIGKILL');
    if (waited === 10_000)
      throw new Error(`a PostgreSQL server (process ${pid}) holds ${clusterDir} and does not end`);
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

/** The command line of a process; empty when there is no such process. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    const ps = spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
    return ps.status === 0 ? ps.stdout : '';
  }
}
