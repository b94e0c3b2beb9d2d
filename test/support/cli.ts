/** Runs the program `longhaul` as its users do: in a pipe, or in a terminal. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';

const main = fileURLToPath(new URL('../../services/cli/main.ts', import.meta.url));

export interface CliResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  env?: Record<string, string>;
  /** Standard input. */
  input?: string;
}

export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return await run(process.execPath, [main, ...args], options);
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
): Promise<CliResult> {
  const command = [process.execPath, main, ...args]
    .map((word) => `'${word.replaceAll("'", "'\\''")}'`)
    .join(' ');
  return await run('script', ['-qec', command, '/dev/null'], options);
}

async function run(
  file: string,
  args: readonly string[],
  { env = {}, input }: CliOptions,
): Promise<CliResult> {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const child = spawn(file, args, {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { PATH, NODE_COMPILE_CACHE, HOME: '/nonexistent', SHELL: '/bin/sh', ...env },
    timeout: 60_000,
  });
  child.stdin?.end(input);
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { status, stdout, stderr };
}
