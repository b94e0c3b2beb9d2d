/**
 * Runs a program that must not outlive this process, however this process ends. A small shell script starts
 * the program and reads from a pipe. When the pipe ends (this process closed it or was killed), the script
 * sends SIGINT to the program and, after a timeout, SIGKILL.
 *
 * The shell leads its own process group, so a Ctrl-C in the terminal reaches only this process, which keeps
 * control of the shutdown order.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { getSpawnIds, type SystemUser } from './system-user.ts';

const script = `
tenths=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
(
  while read -r _ <&3; do :; done
  kill -INT "$program"
  while [ "$tenths" -gt 0 ] && kill -0 "$program"; do sleep 0.1; tenths=$((tenths - 1)); done
  kill -KILL "$program"
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$program"
code=$?
kill "$watcher"
exit "$code"
`;

export interface GuardOptions {
  /** The user that runs the program. Default: the user of this process. */
  user?: SystemUser | undefined;
  env?: Record<string, string>;
  /** The time between SIGINT and SIGKILL. */
  stopSeconds: number;
}

export interface Guarded {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves to the exit code (137: killed). Rejects if the program could not be started. */
  readonly exited: Promise<number>;
  /** Sends SIGINT, and SIGKILL after `stopSeconds`. */
  stop(): void;
  /** Sends SIGKILL immediately. */
  kill(): void;
}

export function runGuarded(program: string, args: readonly string[], options: GuardOptions): Guarded {
  const tenths = String(Math.ceil(options.stopSeconds * 10));
  const child = spawn('/bin/sh', ['-c', script, 'guard', tenths, program, ...args], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: '/usr/bin:/bin', ...options.env },
    ...getSpawnIds(options.user),
  });
  child.stdin.on('error', () => {}); // the shell may exit before its pipe is closed
  return {
    stdout: child.stdout,
    stderr: child.stderr,
    exited: waitForExit(child),
    stop: () => child.stdin.end(),
    kill: () => killGroup(child),
  };
}

function waitForExit(child: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 137));
  return promise;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The process has just exited.
  }
}
