/** Runs programs to their end. */
import { spawn, type SpawnOptions } from 'node:child_process';
import { text } from 'node:stream/consumers';

export interface RunResult {
  /** Null if a signal ended the program. */
  status: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Resolves when the program has ended and closed its output. It is killed after 60 s.
 *
 * @param input standard input; undefined: none
 */
export async function run(
  file: string,
  args: readonly string[],
  options: Omit<SpawnOptions, 'stdio'>,
  input?: string,
): Promise<RunResult> {
  const stdin = input === undefined ? 'ignore' : 'pipe';
  const child = spawn(file, args, { timeout: 60_000, ...options, stdio: [stdin, 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // A program that refuses its arguments may end before it has read its input (EPIPE).
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const [status, stdout, stderr] = await Promise.all([ended, text(child.stdout!), text(child.stderr!)]);
  return { status, stdout, stderr };
}
