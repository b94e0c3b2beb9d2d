/** The use of a core by a measured process, and the time in which its event loop was busy with one thing. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface LoopUsage {
  /** Delays of a timer, in milliseconds: by its own work, and by waits for a core. */
  delayP99Ms: number;
  delayMaxMs: number;
  /** CPU time of the main thread between two ticks of the timer, in milliseconds: by its own work alone. */
  busyP99Ms: number;
  busyMaxMs: number;
  /** Cores, on average. */
  cpu: number;
  /** The share of the time for which the main thread waited for a core. */
  waiting: number;
}

/** Returns the time for which the main thread of a process has waited for a core, from its schedstat. Default: this process. */
export function readWaitedMs(pid: number | string = 'self'): number {
  const [, nanoseconds = '0'] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
  return Number(nanoseconds) / 1e6;
}

/** A message that a measured process answers with its usage since the last one. */
export const usageRequest = 'usage' as const;

/** @returns undefined if the process has ended */
export function requestUsage(child: ChildProcess): Promise<LoopUsage | undefined> {
  return new Promise((resolve) => {
    const settle = (usage?: LoopUsage): void => {
      child.off('message', receive);
      child.off('exit', leave);
      resolve(usage);
    };
    const receive = (message: unknown): void => {
      if (isLoopUsage(message)) settle(message);
    };
    const leave = (): void => settle();
    child.on('message', receive);
    child.on('exit', leave);
    if (child.connected) child.send(usageRequest);
    else settle();
  });
}

function isLoopUsage(message: unknown): message is LoopUsage {
  return typeof message === 'object' && message !== null && 'delayMaxMs' in message;
}
