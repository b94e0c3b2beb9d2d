/** Preloaded (`--import`) into measured services: answers a message of the parent with a `LoopUsage`. */
import { createHistogram } from 'node:perf_hooks';
import { readWaitedMs, usageRequest, type LoopUsage } from './loop-usage.ts';

/** Interval of the timer, in milliseconds. */
const intervalMs = 5;
/** Microseconds. */
const delays = createHistogram();
const busy = createHistogram();
let last = { at: performance.now(), cpu: readThreadCpu() };
let before = { at: performance.now(), cpu: process.cpuUsage(), waitedMs: readWaitedMs() };

setInterval(() => {
  const now = { at: performance.now(), cpu: readThreadCpu() };
  delays.record(toMicroseconds(now.at - last.at - intervalMs));
  busy.record(toMicroseconds(now.cpu - last.cpu));
  last = now;
}, intervalMs).unref();

/** Node 24 has it; the types do not. */
function readThreadCpu(): number {
  const { threadCpuUsage } = process as unknown as { threadCpuUsage: () => { user: number; system: number } };
  const { user, system } = threadCpuUsage.call(process);
  return (user + system) / 1000;
}

/** Histograms have whole numbers from 1. */
function toMicroseconds(ms: number): number {
  return Math.max(1, Math.round(ms * 1000));
}

function read(): LoopUsage {
  const now = { at: performance.now(), cpu: process.cpuUsage(), waitedMs: readWaitedMs() };
  const cpuMs = (now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system) / 1000;
  const usage = {
    delayP99Ms: delays.percentile(99) / 1000,
    delayMaxMs: delays.max / 1000,
    busyP99Ms: busy.percentile(99) / 1000,
    busyMaxMs: busy.max / 1000,
    cpu: cpuMs / (now.at - before.at),
    waiting: (now.waitedMs - before.waitedMs) / (now.at - before.at),
  };
  before = now;
  delays.reset();
  busy.reset();
  return usage;
}

process.on('message', (message) => {
  if (message === usageRequest) process.send?.(read());
});
// The channel must not keep the process alive.
process.channel?.unref();
