/**
 * Lifecycle of a service process: start, run until SIGTERM or SIGINT, drain within a bound, exit.
 *
 * Cloud Run sends SIGTERM and kills the process ten seconds later. A second signal ends the process at once.
 */
import { setFlagsFromString } from 'node:v8';
import { DefinitionError } from '../agent/definition.ts';
import { ConfigError } from './config/env-reader.ts';
import { errorMessage, type Logger } from './log.ts';

/** EX_CONFIG of sysexits.h. */
export const configExitCode = 78;

export interface Service {
  /** Address that it listens on, for the log. */
  address: string;
  /** Stops accepting work, then finishes or releases the work in flight. Called once. */
  drain(): Promise<void>;
}

/**
 * Runs a service until the process exits. Never resolves. Problems of the configuration that only the start finds exit
 * with status 78, like those of `configOrExit`.
 */
export async function runService(log: Logger, drainMs: number, start: () => Promise<Service>): Promise<void> {
  // V8 learns from the first requests, which wait longest, that objects of a request live long. It then
  // allocates some of them in the old generation, where they retain what they reference until the next full
  // collection: 11 KB instead of 2 KB per message that the api service accepts, and a sixth of its CPU.
  setFlagsFromString('--no-allocation-site-pretenuring');
  // With a heap limit of 256 MiB, V8 collects the whole heap each time that it has grown by 40%. For an api with 50 MB that
  // is after 20 MB, less than two large messages. Three times the size fits into the limit.
  setFlagsFromString('--heap-growing-percent=200');
  // Installed first: process 1 of a container does not receive signals without a handler.
  const signalled = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  const starting = start().catch((error: unknown) => {
    if (isConfigProblem(error)) return exitWithProblems(error);
    log.fatal({ err: error }, 'start failed');
    return process.exit(1);
  });
  const service = await Promise.race([starting, signalled.then(() => undefined)]);
  if (service === undefined) {
    log.info('stopped before it was ready');
    return process.exit(0);
  }
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'unhandled rejection');
    process.exit(1);
  });
  log.info({ pid: process.pid, address: service.address }, 'ready');
  const signal = await signalled;
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => process.exit(1));
  log.info({ signal }, 'draining');
  setTimeout(() => {
    log.error({ drainMs }, 'drain timed out');
    process.exit(1);
  }, drainMs).unref();
  await service.drain().catch((error: unknown) => log.error({ err: error }, 'drain failed'));
  log.info('stopped');
  process.exit(0);
}

/** Returns the configuration, or prints every problem and exits with status 78. */
export function configOrExit<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    return exitWithProblems(error);
  }
}

/** Like `configOrExit`, for secrets, which are fetched before the configuration is read. */
export async function secretsOrExit<T>(open: () => Promise<T>): Promise<T> {
  return open().catch(exitWithProblems);
}

/** The definition of the agent is configuration too; it is read when the service starts. */
function isConfigProblem(error: unknown): boolean {
  return error instanceof ConfigError || error instanceof DefinitionError;
}

function exitWithProblems(error: unknown): never {
  if (!printProblems(error)) throw error;
  return process.exit(configExitCode);
}

/** Prints every problem of the configuration, for a process that then exits with `configExitCode`. Returns false for other errors. */
export function printProblems(error: unknown): boolean {
  if (!isConfigProblem(error)) return false;
  process.stderr.write(`${errorMessage(error)}\n`);
  return true;
}
