/** The use of the cores by PostgreSQL and by all processes of the machine: what the event loops of the services do not show. */
import { readdirSync, readFileSync } from 'node:fs';
import { readWaitedMs } from './loop-usage.ts';

/** In cores, on average. */
export interface MachineUsage {
  /** The server of the measured system. */
  postgres: number;
  /** Its processes that waited for a core, on average. */
  postgresWaiting: number;
  /** All processes, including the load and what does not belong to the measurement. */
  all: number;
  /** Taken by the host of a virtual machine. */
  stolen: number;
}

/** The clock of /proc has 100 ticks a second on all common machines. */
const ticksPerSecond = 100;

/** @returns a function that reads the usage since its last call */
export function createMachineMeter(): () => MachineUsage {
  let before = read();
  return () => {
    const now = read();
    const perTick = 1000 / ticksPerSecond / (now.at - before.at);
    // The ticks of a process that has ended are among those of its parent, so they are not counted by process.
    let postgres = 0;
    for (const { ticks } of now.postgres.values()) postgres += ticks;
    for (const { ticks } of before.postgres.values()) postgres -= ticks;
    let waitedMs = 0;
    for (const [pid, used] of now.postgres) {
      waitedMs += used.waitedMs - (before.postgres.get(pid)?.waitedMs ?? 0);
    }
    const usage = {
      postgres: postgres * perTick,
      postgresWaiting: waitedMs / (now.at - before.at),
      all: (now.all - before.all) * perTick,
      stolen: (now.stolen - before.stolen) * perTick,
    };
    before = now;
    return usage;
  };
}

interface ProcessUsage {
  ticks: number;
  waitedMs: number;
}

/** Clock ticks since the start of the machine, or of a process. */
function read(): { at: number; postgres: Map<string, ProcessUsage>; all: number; stolen: number } {
  // proc(5): user, nice, system, idle, iowait, irq, softirq, steal.
  const [, ...fields] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/\s+/);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields.map(Number);
  return {
    at: performance.now(),
    postgres: readPostgres(),
    all: user + nice + system + irq + softirq,
    stolen: steal,
  };
}

/** Returns the usage of the processes of PostgreSQL that this process has started, with the ticks of their ended children. */
function readPostgres(): Map<string, ProcessUsage> {
  const processes = new Map<string, ProcessUsage & { name: string; parent: string }>();
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const end = stat.lastIndexOf(')');
      // proc(5): state, parent; the times of the process and of its ended children are fields 14 to 17.
      const [, parent = '', ...fields] = stat.slice(end + 2).split(' ');
      const ticks = fields.slice(9, 13).reduce((sum, field) => sum + Number(field), 0);
      const name = stat.slice(stat.indexOf('(') + 1, end);
      processes.set(pid, { name, parent, ticks, waitedMs: name === 'postgres' ? readWaitedMs(pid) : 0 });
    } catch {
      // It has ended since.
    }
  }
  const isOwn = (pid: string): boolean => {
    if (pid === String(process.pid)) return true;
    const parent = processes.get(pid)?.parent;
    return parent !== undefined && isOwn(parent);
  };
  const found = new Map<string, ProcessUsage>();
  for (const [pid, { name, ...usage }] of processes) {
    if (name === 'postgres' && isOwn(pid)) found.set(pid, usage);
  }
  return found;
}
