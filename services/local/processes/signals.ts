/**
 * Runs the supervisor until a signal arrives. The first signal stops the children in order, the second kills
 * them. npm repeats a Ctrl-C that the terminal has already sent, so a signal within 400 ms of the first is
 * ignored. npm itself does not pass on every signal, and none if it is killed: its end counts as a signal.
 */
import { readFileSync } from 'node:fs';
import type { Print } from './log-output.ts';
import type { Supervisor } from './supervisor.ts';

const repeatMs = 400;
const parentPollMs = 250;

/** Resolves when a signal has stopped everything. If `start` fails, stops everything and rejects. */
export async function runUntilSignal(
  supervisor: Supervisor,
  print: Print,
  start: () => Promise<void>,
): Promise<void> {
  const { promise: signalled, resolve } = Promise.withResolvers<void>();
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals | 'end of npm'): void => {
    if (first === undefined) {
      first = performance.now();
      print('local', {
        severity: 'INFO',
        message: 'stopping; press Ctrl-C again to stop immediately',
        signal,
      });
      resolve();
    } else if (performance.now() - first > repeatMs) {
      supervisor.kill();
    }
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const parentCheck = watchNpm(() => {
    if (first === undefined) onSignal('end of npm');
  });
  try {
    const started = start();
    started.catch(() => {}); // after a signal it fails because its children are stopped
    await Promise.race([started.then(() => signalled), signalled]);
  } finally {
    await supervisor.stop();
    for (const signal of signals) process.off(signal, onSignal);
    clearInterval(parentCheck);
  }
}

/** Calls `onEnd` once if npm or npx has started this process and ends. */
function watchNpm(onEnd: () => void): NodeJS.Timeout | undefined {
  if (process.env['npm_execpath'] === undefined) return undefined;
  const npm = findNpm();
  const timer = setInterval(() => {
    if (findNpm() === npm) return;
    clearInterval(timer);
    onEnd();
  }, parentPollMs);
  return timer.unref();
}

/**
 * Returns the parent, or the parent of the shell in which npm runs scripts. The shells of macOS, which has no /proc,
 * replace themselves by the program.
 */
function findNpm(): number {
  if (process.platform !== 'linux') return process.ppid;
  try {
    const status = readFileSync(`/proc/${process.ppid}/status`, 'utf8');
    const shell = /^Name:\s+(?:ba|da|z|a)?sh$/m.test(status);
    return shell ? Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]) : process.ppid;
  } catch {
    return process.ppid;
  }
}
