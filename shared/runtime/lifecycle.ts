/**
 * The life of a service process: start, run until SIGTERM or SIGINT, drain within a bound, exit.
 *
 * Cloud Run sends SIGTERM and kills ten seconds later; a second signal ends the process at once.
 */
import { setFlagsFromString } from 'node:v8';
import { ConfigError } from './config/env-reader.ts';
import { errorMessage, type Logger } from './log.ts';

export interface Service {
  /** Where it listens, for the log. */
  address: string;
  /** Stops taking work and finishes or hands back what is under way. Called once. */
  drain(): Promise<void>;
}

/** Runs a service to its end; resolves never, since the process exits. */
export async function runService(log: Logger, drainMs: number, start: () => Promise<Service>): Promise<void> {
  // V8 learns from the first requests, which wait longest, that what belongs to a request lives long, and from then on makes
  // some of it in the old generation. What that points to is kept with it until the next full collection: of an accept
  // in the front door 11 KB instead of 2, which cost a sixth of its CPU.
  setFlagsFromString('--no-allocation-site-pretenuring');
  // From the first moment on: as process 1 of a container, a process without a handler does not get the signal at all.
  const signalled = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  const starting = start().catch((error: unknown) => {
    log.fatal({ err: error }, 'the service could not start');
    return process.exit(1);
  });
  const service = await Promise.race([starting, signalled.then(() => undefined)]);
  if (service === undefined) {
    log.info('told to stop before it was ready');
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
    log.error({ drainMs }, 'the drain took too long');
    process.exit(1);
  }, drainMs).unref();
  await service.drain().catch((error: unknown) => log.error({ err: error }, 'the drain failed'));
  log.info('stopped');
  process.exit(0);
}

/** Reads the configuration or ends the process, telling all that is wrong in words and without a stack. */
export function configOrExit<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    return exitWithProblems(error);
  }
}

/** The same for what must be fetched before the configuration can be read. */
export async function secretsOrExit<T>(open: () => Promise<T>): Promise<T> {
  return open().catch(exitWithProblems);
}

function exitWithProblems(error: unknown): never {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${errorMessage(error)}\n`);
  return process.exit(78); // EX_CONFIG of sysexits.h
}
