/**
 * Runs a service as the platform does: a process that exceeds the memory of its container is killed, and a process that
 * ends is started again. Its log goes to a file, so that reading it costs this process nothing.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cleanup } from '../../../../support/cleanup.ts';
import type { ServiceKind } from '../../../../support/stack.ts';
import { waitFor } from '../../../../support/wait-for.ts';
import { requestUsage, type LoopUsage } from './loop-usage.ts';
import { readMemoryLimit } from './memory-limits.ts';

export interface ServiceUsage {
  /** The highest resident memory, of any of its processes. */
  peakMib: number;
  limitMib: number;
  /** Ends of its processes, such as `out of heap` or `over 512 MiB`. */
  crashes: string[];
}

export interface MeasuredService {
  readonly kind: ServiceKind;
  /** Starts a new measurement. */
  reset: () => void;
  /** Returns the usage since the last reset. */
  usage: () => ServiceUsage;
  /** Resolves to what its process has used since the last call; undefined if it has ended meanwhile. */
  readLoop: () => Promise<LoopUsage | undefined>;
}

const sampleMs = 250;
const restartMs = 250;
const reportUsage = new URL('report-usage.ts', import.meta.url);
const dieWithParent = new URL('../../../../../services/local/processes/die-with-parent.ts', import.meta.url);

/** Starts a service and resolves when it is ready. `env.PORT` must be a free port. */
export async function startService(
  t: Cleanup,
  kind: ServiceKind,
  env: Record<string, string>,
  logFile: string,
): Promise<MeasuredService> {
  const { mib: limitMib, nodeFlags } = readMemoryLimit(kind);
  const preloads = [dieWithParent, reportUsage].flatMap(({ href }) => ['--import', href]);
  const args = [...preloads, ...nodeFlags, `services/${kind}/main.ts`];
  const log = openSync(logFile, 'a');
  let child: ChildProcess | undefined;
  const closing = new AbortController();
  let crashes: string[] = [];
  let peakMib = 0;
  /** The highest memory of the current process before the last reset. */
  let earlierPeakMib = 0;

  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      earlierPeakMib = 0;
      child = spawn(process.execPath, args, {
        stdio: ['ignore', log, log, 'ipc'],
        env: { PATH: process.env['PATH'], ...env },
      });
      let overLimit = false;
      const { pid } = child;
      const sampler = setInterval(() => {
        const memory = readMemory(pid);
        if (memory === undefined) return;
        // The kernel's peak includes what happened between two samples.
        peakMib = Math.max(peakMib, memory.now, memory.peak > earlierPeakMib ? memory.peak : 0);
        overLimit = memory.unreclaimable > limitMib;
        if (overLimit) child?.kill('SIGKILL');
      }, sampleMs);
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      clearInterval(sampler);
      if (closing.signal.aborted) return;
      crashes.push(overLimit ? `over ${limitMib} MiB` : describeExit(code, signal));
      await sleep(restartMs);
    }
  };
  const running = run();
  t.after(async () => {
    closing.abort();
    child?.kill('SIGKILL');
    await running;
  });
  await waitFor(
    `the ${kind} to be ready`,
    async () => {
      const crash = crashes[0];
      if (crash !== undefined)
        throw new Error(`the ${kind} ended (${crash}):\n${readFileSync(logFile, 'utf8')}`);
      return fetch(`http://127.0.0.1:${env['PORT']}/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    },
    { everyMs: 50 },
  );
  return {
    kind,
    reset: () => {
      crashes = [];
      peakMib = 0;
      earlierPeakMib = readMemory(child?.pid)?.peak ?? 0;
    },
    usage: () => ({ peakMib: Math.round(peakMib), limitMib, crashes }),
    readLoop: async () => (child === undefined ? undefined : requestUsage(child)),
  };
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  // V8 aborts when its heap is full.
  if (signal === 'SIGABRT' || code === 134) return 'out of heap';
  return signal ?? `exit code ${code}`;
}

interface Memory {
  now: number;
  peak: number;
  /** Without pages of files, such as the program, which the kernel drops before it kills a process. */
  unreclaimable: number;
}

/** Reads resident memory, in MiB, from /proc. Undefined if the process has ended. */
function readMemory(pid: number | undefined): Memory | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const read = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024;
    const now = read('VmRSS');
    return now === 0 ? undefined : { now, peak: read('VmHWM'), unreclaimable: now - read('RssFile') };
  } catch {
    return undefined;
  }
}
