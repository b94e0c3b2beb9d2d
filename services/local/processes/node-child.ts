/**
 * A Node process as a child of the stack: what it prints goes to the log, it is ready when it says so or when its health
 * check answers, it ends with this process, and it leads its own process group so that a Ctrl-C in the terminal leaves the
 * order of stopping to the supervisor.
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
  /** The whole environment, but for `PORT`. */
  env: NodeJS.ProcessEnv;
  /** 0: it chooses one; it keeps that when it is started again. */
  port: number;
  /** `line`: it logs "ready" with its port. `health`: GET /health/ready on its port answers 200. */
  ready: 'line' | 'health';
  /** Between SIGTERM and SIGKILL. */
  stopMs: number;
  onPort?: (port: number) => void;
  restarted?: Child['restarted'];
}

const startMs = 30_000;
const wrongConfiguration = 78; // EX_CONFIG: starting again would not help
const preload = new URL('./die-with-parent.ts', import.meta.url);

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
          ? process.saidReady.then((said) => {
              port = said;
            })
          : untilHealthy(port, process.gone);
      await startedOrGone(options.name, process, ready, signal);
      options.onPort?.(port);
      return process.running(options.stopMs);
    },
  };
}

/** Runs a program to its end. @throws {StartError} when it fails */
export async function runToCompletion(
  { name, file, env }: Pick<NodeChildOptions, 'name' | 'file' | 'env'>,
  print: Print,
  signal: AbortSignal,
): Promise<void> {
  const process = spawnNode(name, file, env, print);
  const done = process.exited.then(async (how) => {
    if (how !== 'exit code 0')
      throw new StartError(`${name} failed (${how})`, await process.lastLines(), false);
  });
  signal.addEventListener('abort', process.kill);
  if (signal.aborted) process.kill();
  await done.finally(() => signal.removeEventListener('abort', process.kill));
}

async function startedOrGone(
  name: string,
  process: SpawnedNode,
  ready: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const gone = process.exited.then(async (how) => {
    const retryable = how !== `exit code ${wrongConfiguration}`;
    throw new StartError(`${name} ended before it was ready (${how})`, await process.lastLines(), retryable);
  });
  const late = sleep(startMs, undefined, { signal: process.gone, ref: false }).then(
    async () => {
      throw new StartError(`${name} was not ready after ${startMs / 1000} s`, await process.lastLines());
    },
    () => gone,
  );
  signal.addEventListener('abort', process.kill);
  if (signal.aborted) process.kill();
  try {
    await Promise.race([ready, gone, late]);
  } catch (error) {
    process.kill();
    await process.exited;
    throw error;
  } finally {
    signal.removeEventListener('abort', process.kill);
  }
}

interface SpawnedNode {
  readonly exited: Promise<string>;
  /** Aborts when it has ended. */
  readonly gone: AbortSignal;
  readonly saidReady: Promise<number>;
  lastLines(): Promise<readonly string[]>;
  kill: () => void;
  running(stopMs: number): RunningChild;
}

function spawnNode(name: string, file: URL, env: NodeJS.ProcessEnv, print: Print): SpawnedNode {
  const child = spawn(process.execPath, ['--import', preload.href, fileURLToPath(file)], {
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  }) as ChildProcessByStdio<null, Readable, Readable>; // an IPC channel hides from the types that the pipes are there
  const saidReady = Promise.withResolvers<number>();
  const lines: string[] = [];
  const take = (line: string, severity: 'INFO' | 'ERROR'): void => {
    if (line === '') return;
    const entry = parseLine(line, severity);
    if (lines.push(describe(entry)) > 15) lines.shift();
    if (entry.message === 'ready' && typeof entry['port'] === 'number') saidReady.resolve(entry['port']);
    print(name, entry);
  };
  createInterface({ input: child.stdout }).on('line', (line) => take(line, 'INFO'));
  createInterface({ input: child.stderr }).on('line', (line) => take(line, 'ERROR'));
  const closed = once(child, 'close').catch(() => {});
  const gone = new AbortController();
  const exited = exitOf(child).finally(() => {
    gone.abort();
    killGroup(child); // whatever it started and left
  });
  const kill = (): void => killGroup(child);
  return {
    exited,
    gone: gone.signal,
    saidReady: saidReady.promise,
    kill,
    // What it said last may still be on its way when it has ended.
    lastLines: async () => {
      await Promise.race([closed, sleep(200)]);
      return lines;
    },
    running: (stopMs) => ({
      exited,
      kill,
      stop: () => {
        child.kill('SIGTERM');
        const bound = setTimeout(kill, stopMs);
        void exited.then(() => clearTimeout(bound));
      },
    }),
  };
}

function exitOf(child: ChildProcess): Promise<string> {
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
    // Nothing is left of it.
  }
}

function describe(entry: LogEntry): string {
  const error = entry['err'];
  const cause =
    typeof error === 'object' && error !== null && 'message' in error ? `: ${String(error.message)}` : '';
  return `${entry.message}${cause}`;
}

async function untilHealthy(port: number, gone: AbortSignal): Promise<void> {
  while (!gone.aborted) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/health/ready`, {
        headers: { connection: 'close' },
        signal: AbortSignal.any([gone, AbortSignal.timeout(2000)]),
      });
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Not listening yet.
    }
    await sleep(30);
  }
  await new Promise(() => {}); // its end is told by others
}
