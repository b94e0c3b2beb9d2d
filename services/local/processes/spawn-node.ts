/**
 * Spawns a Node process whose output goes to the log. It is killed when this process ends, and leads its own process
 * group, so that a Ctrl-C in the terminal reaches only the supervisor, which controls the shutdown order.
 */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseLine, type LogEntry, type Print } from './log-output.ts';
import type { RunningChild } from './supervisor.ts';

const preload = import.meta.resolve('#services/local/processes/die-with-parent.ts');

export interface SpawnedNode {
  /** Resolves to the exit code or signal, as text. */
  readonly exited: Promise<string>;
  /** Aborts when the process has exited. */
  readonly exitSignal: AbortSignal;
  readonly loggedReady: Promise<number>;
  lastLines(): Promise<readonly string[]>;
  kill: () => void;
  /** Sends a message, unless the process has ended. Returns whether it was sent. */
  send(message: object): boolean;
  running(stopMs: number): RunningChild;
}

export function spawnNode(name: string, file: URL, env: NodeJS.ProcessEnv, print: Print): SpawnedNode {
  const child = spawn(process.execPath, ['--import', preload, fileURLToPath(file)], {
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  }) as ChildProcessByStdio<null, Readable, Readable>; // with an IPC channel, the types lose the pipes
  const loggedReady = Promise.withResolvers<number>();
  const lines: string[] = [];
  const handleLine = (line: string, severity: 'INFO' | 'ERROR'): void => {
    if (line === '') return;
    const entry = parseLine(line, severity);
    if (lines.push(summarise(entry)) > 15) lines.shift();
    if (entry.message === 'ready' && typeof entry['port'] === 'number') loggedReady.resolve(entry['port']);
    print(name, entry);
  };
  createInterface({ input: child.stdout }).on('line', (line) => handleLine(line, 'INFO'));
  createInterface({ input: child.stderr }).on('line', (line) => handleLine(line, 'ERROR'));
  const closed = once(child, 'close').catch(() => {});
  const exitController = new AbortController();
  const exited = waitForExit(child).finally(() => {
    exitController.abort();
    killGroup(child); // children that it left running
  });
  const kill = (): void => killGroup(child);
  return {
    exited,
    exitSignal: exitController.signal,
    loggedReady: loggedReady.promise,
    kill,
    send: (message) => {
      if (!child.connected) return false;
      child.send(message);
      return true;
    },
    // The last lines can arrive after the exit.
    lastLines: async () => {
      await Promise.race([closed, sleep(200)]);
      return lines;
    },
    running: (stopMs) => ({
      exited,
      kill,
      stop: () => {
        child.kill('SIGTERM');
        const timeout = setTimeout(kill, stopMs);
        void exited.then(() => clearTimeout(timeout));
      },
    }),
  };
}

function waitForExit(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group has no processes left.
  }
}

function summarise(entry: LogEntry): string {
  const error = entry['err'];
  const cause =
    typeof error === 'object' && error !== null && 'message' in error ? `: ${String(error.message)}` : '';
  return `${entry.message}${cause}`;
}
