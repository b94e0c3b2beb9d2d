/**
 * Runs a Node process as a child of the supervisor. It is ready when it logs "ready" or when its health check succeeds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import type { Print } from './log-output.ts';
import { spawnNode, type SpawnedNode } from './spawn-node.ts';
import { StartError, type Child } from './supervisor.ts';

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
  /** Is used by the first start, unless it has ended. */
  standby?: Standby | undefined;
  onPort?: (port: number) => void;
  restarted?: Child['restarted'];
}

const startTimeoutMs = 30_000;
const configErrorCode = 78; // EX_CONFIG: a restart would fail too

/** A process that was started in advance, and waits (standby.ts). */
export interface Standby {
  /** Lets it run with this environment. Returns undefined if it has ended, or runs already. */
  run(env: NodeJS.ProcessEnv): SpawnedNode | undefined;
}

export function createNodeChild(options: NodeChildOptions, print: Print): Child {
  let { port } = options;
  return {
    name: options.name,
    tier: options.tier,
    ...(options.restarted === undefined ? {} : { restarted: options.restarted }),
    async start(signal) {
      const env = { ...options.env, PORT: String(port) };
      const process = options.standby?.run(env) ?? spawnNode(options.name, options.file, env, print);
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
 * @throws {ConfigError} with what it has printed, if its configuration is not valid
 * @throws {StartError} for another exit code than 0
 */
export async function runToCompletion(
  { name, file, env }: Pick<NodeChildOptions, 'name' | 'file' | 'env'>,
  print: Print,
  signal: AbortSignal,
): Promise<void> {
  const process = spawnNode(name, file, env, print);
  const done = process.exited.then(async (result) => {
    if (result === `exit code ${configErrorCode}`)
      throw new ConfigError([(await process.lastLines()).join('\n')]);
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
