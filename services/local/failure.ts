/** The text that `npm start` prints when the stack does not start. */
import { inspect } from 'node:util';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { StartError } from './processes/supervisor.ts';

const prefix = 'Longhaul did not start: ';

/** Returns the exit status: 78 (EX_CONFIG of sysexits.h) for problems of the configuration, otherwise 1. */
export function getExitCode(error: unknown): number {
  const isConfig = error instanceof ConfigError || (error instanceof StartError && !error.retryable);
  return isConfig ? 78 : 1;
}

/** @param debug whether to include stack traces and causes */
export function formatFailure(error: unknown, debug: boolean): string {
  if (error instanceof ConfigError) return error.problems.map((problem) => `${prefix}${problem}`).join('\n');
  if (error instanceof StartError) return `${prefix}${error.message}${formatOutput(error.lines)}`;
  if (debug || !(error instanceof Error)) return `${prefix}${inspect(error)}`;
  return `${prefix}${error.message}`;
}

function formatOutput(lines: readonly string[]): string {
  if (lines.length === 0) return '. It printed nothing.';
  const output = lines.flatMap((line) => line.split('\n'));
  return `. Its last output:\n${output.map((line) => `  | ${line}`).join('\n')}`;
}
