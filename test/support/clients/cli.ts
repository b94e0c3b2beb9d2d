/** Runs the program `longhaul` as its users do: in a pipe, or in a terminal. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { run, type RunResult } from '../processes/run.ts';

const main = fileURLToPath(new URL('../../../services/cli/main.ts', import.meta.url));

export interface CliOptions {
  env?: Record<string, string>;
  /** Standard input. */
  input?: string;
}

export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<RunResult> {
  return runProgram(process.execPath, [main, ...args], options);
}

/** Undefined if this machine can give a program a terminal (util-linux). */
export const noTerminal = /util-linux/.test(
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '',
)
  ? undefined
  : 'script of util-linux is not installed';

/** Runs the program in a terminal. Its `stdout` includes stderr, and has the line ends of terminals. */
export async function runCliInTerminal(
  args: readonly string[],
  options: CliOptions = {},
): Promise<RunResult> {
  const command = [process.execPath, main, ...args]
    .map((word) => `'${word.replaceAll("'", "'\\''")}'`)
    .join(' ');
  return runProgram('script', ['-qec', command, '/dev/null'], options);
}

async function runProgram(
  file: string,
  args: readonly string[],
  { env = {}, input }: CliOptions,
): Promise<RunResult> {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const own = { PATH, NODE_COMPILE_CACHE, HOME: '/nonexistent', SHELL: '/bin/sh' };
  return run(file, args, { env: { ...own, ...env } }, input);
}
