/**
 * Runs a Node process as a child of the supervisor. Its output goes to the log. It is ready when it logs
 * "ready" or when its health check succeeds. It is killed when this process ends, and leads its own process
 * group, so that a Ctrl-C in the terminal reaches only the supervisor, which controls the shutdown order.
 */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseLine, type LogEntry, type Print } from './log-output.ts';
import { StartError, type Child, type RunningChild } from './supervisor.ts';

export interface NodeChildOptions {
  name: string;
  tier: number;
  file: URL;
  /** The complete environment, except `PORT`. */
  env: NodeJS.ProcessEnv;
  /** 0: the process chooses a port, and keeps it when it restarts. */
  port: number;
  /** `line`: the process logs "ready" with its port. `health`: GET /health/ready on its port returns 200. */
  ready: 'line' | 'health';
  /** The time between SIGTERM and SIGKILL. */
  stopMs: number;
  onPort?: (port: number) => void;
  restarted?: Child['restarted'];
}

const startTimeoutMs = 30_000;
const configErrorCode = 78; // EX_CONFIG: a restart would fail too
const preload = import.meta.resolve('#services/local/processes/die-with-parent.ts');

export function createNodeChild(options: NodeChildOptions, print: Print): Child {
  let { port } = options;
  return {
    name: options.name,
    tier: options.tier,
    ...(options.restarted === undefined ? {} : { restarted: options.restarted }),
    async start(signal) {
      const process = spawnNode(options.name, options.file, { ...options.env, PORT: String(port) }, print);
      const ready =
        options.ready === 'line'
          ? process.loggedReady.then((logged) => {
              port = logged;
            })
          : waitUntilHealthy(port, process.exitSignal);
      await waitUntilReady(options.name, process, ready, signal);
      options.onPort?.(port);
      return process.running(options.stopMs);
    },
  };
}

/**
 * Runs a program and waits until it exits.
 *
 * @throws {StartError} if the exit code is not 0
 */
export async function runToCompletion(
  { name, file, env }: Pick<NodeChildOptions, 'name' | 'file' | 'env'>,
  print: Print,
  signal: AbortSignal,
): Promise<void> {
  const process = spawnNode(name, file, env, print);
  const done = process.exited.then(async (result) => {
    if (result !== 'exit code 0')
      throw new StartError(`${name} failed (${result})`, await process.lastLines(), false);
  });
  signal.addEventListener('abort', process.kill);
  if (signal.aborted) process.kill();
  await done.finally(() => signal.removeEventListener('abort', process.kill));
}

async function waitUntilReady(
  name: string,
  process: SpawnedNode,
  ready: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const exited = process.exited.then(async (result) => {
    const retryable = result !== `exit code ${configErrorCode}`;
    throw new StartError(
      `${name} exited before it was ready (${result})`,
      await process.lastLines(),
      retryable,
    );
  });
  const timedOut = sleep(startTimeoutMs, undefined, { signal: process.exitSignal, ref: false }).then(
    async () => {
      throw new StartError(
        `${name} was not ready after ${startTimeoutMs / 1000} s`,
        await process.lastLines(),
      );
    },
    () => exited,
  );
  signal.addEventListener('abort', process.kill);
  if (signal.aborted) process.kill();
  try {
    await Promise.race([ready, exited, timedOut]);
  } catch (error) {
    process.kill();
    await process.exited;
    throw error;
  } finally {
    signal.removeEventListener('abort', process.kill);
  }
}

interface SpawnedNode {
  /** Resolves to the exit code or signal, as text. */
  readonly exited: Promise<string>;
  /** Aborts when the process has exited. */
  readonly exitSignal: AbortSignal;
  readonly loggedReady: Promise<number>;
  lastLines(): Promise<readonly string[]>;
  kill: () => void;
  running(stopMs: number): RunningChild;
}

function spawnNode(name: string, file: URL, env: NodeJS.ProcessEnv, print: Print): SpawnedNode {
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

async function waitUntilHealthy(port: number, exitSignal: AbortSignal): Promise<void> {
  while (!exitSignal.aborted) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/health/ready`, {
        headers: { connection: 'close' },
        signal: AbortSignal.any([exitSignal, AbortSignal.timeout(2000)]),
      });
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Not listening yet.
    }
    await sleep(30);
  }
  await new Promise(() => {}); // the caller reports the exit
}
