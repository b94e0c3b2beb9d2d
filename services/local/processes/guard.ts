/**
 * Runs a program that must not outlive this process, however this process ends. A tiny shell stands between: it starts
 * the program, holds a pipe to us, and when the pipe ends (we closed it, or we are gone, SIGKILL included) it sends the
 * program SIGINT and, after a bound, SIGKILL.
 *
 * The shell leads its own process group, so that a Ctrl-C in the terminal reaches only us and the order of stopping
 * stays ours.
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
watch=$!
exec 3<&-
wait "$program"
code=$?
kill "$watch"
exit "$code"
`;

export interface GuardOptions {
  /** The user to run as; without it, the user of this process. */
  user?: SystemUser | undefined;
  env?: Record<string, string>;
  /** How long the program may take to end after SIGINT, before it is killed. */
  stopSeconds: number;
}

export interface Guarded {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves with the exit code once the program has ended (137: killed); rejects when it could not be started. */
  readonly exited: Promise<number>;
  /** Asks the program to end; it is killed when it does not. */
  stop(): void;
  /** Ends the program now. */
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
  child.stdin.on('error', () => {}); // the guard may end before its pipe is closed
  return {
    stdout: child.stdout,
    stderr: child.stderr,
    exited: exitOf(child),
    stop: () => child.stdin.end(),
    kill: () => killGroup(child),
  };
}

function exitOf(child: ChildProcess): Promise<number> {
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
    // It ended in between.
  }
}
