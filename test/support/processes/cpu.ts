/** CPU time of processes, as Linux counts it: in ticks of 10 ms. */
import { readdirSync, readFileSync } from 'node:fs';

const msPerTick = 10;

/** User and system time of a process in milliseconds; 0 if it has ended. */
export function readCpuMs(pid: number): number {
  const fields = readStat(pid);
  return msPerTick * (Number(fields[11] ?? 0) + Number(fields[12] ?? 0));
}

/**
 * Returns the CPU time of a process and of all its children, those that have ended included, in milliseconds. Those of a
 * PostgreSQL server are its sessions and its writers.
 */
export function readTreeCpuMs(pid: number): number {
  const fields = readStat(pid);
  const ended = msPerTick * (Number(fields[13] ?? 0) + Number(fields[14] ?? 0));
  const children = readdirSync('/proc').filter((name) => Number(readStat(Number(name))[1]) === pid);
  return readCpuMs(pid) + ended + children.reduce((total, child) => total + readCpuMs(Number(child)), 0);
}

/** The parent of a process; undefined if it has ended. */
export function readParent(pid: number): number | undefined {
  const parent = readStat(pid)[1];
  return parent === undefined ? undefined : Number(parent);
}

/** Fields of /proc/PID/stat after the name of the command, from the state on; empty for what is not a process. */
function readStat(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  } catch {
    return [];
  }
}
