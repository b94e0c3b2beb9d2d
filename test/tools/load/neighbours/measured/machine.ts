/** The use of the cores by PostgreSQL and by all processes of the machine: what the event loops of the services do not show. */
import { readdirSync, readFileSync } from 'node:fs';

/** In cores, on average. */
export interface MachineUsage {
  postgres: number;
  /** All processes, including the load and what does not belong to the measurement. */
  all: number;
  /** Taken by the host of a virtual machine. */
  stolen: number;
}

interface Reading {
  at: number;
  /** Clock ticks since the start of the machine. */
  postgres: number;
  all: number;
  stolen: number;
}

/** The clock of /proc has 100 ticks a second on all common machines. */
const ticksPerSecond = 100;

/** @returns a function that reads the usage since its last call */
export function createMachineMeter(): () => MachineUsage {
  let before = read();
  return () => {
    const now = read();
    const perTick = 1 / ticksPerSecond / ((now.at - before.at) / 1000);
    const usage = {
      postgres: (now.postgres - before.postgres) * perTick,
      all: (now.all - before.all) * perTick,
      stolen: (now.stolen - before.stolen) * perTick,
    };
    before = now;
    return usage;
  };
}

function read(): Reading {
  // proc(5): user, nice, system, idle, iowait, irq, softirq, steal.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = readFileSync(
    '/proc/stat',
    'utf8',
  )
    .split('\n', 1)[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return {
    at: performance.now(),
    postgres: readProcesses('postgres'),
    all: user + nice + system + irq + softirq,
    stolen: steal,
  };
}

/** Returns the ticks that all processes of this name have used, including their children that have ended. */
function readProcesses(name: string): number {
  let ticks = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const end = stat.lastIndexOf(')');
      if (stat.slice(stat.indexOf('(') + 1, end) !== name) continue;
      // The state after the name is the third field. The times of the process and of its ended children are fields 14 to 17.
      const fields = stat.slice(end + 2).split(' ');
      for (const field of fields.slice(11, 15)) ticks += Number(field);
    } catch {
      // It has ended since.
    }
  }
  return ticks;
}
