/** Runs the scripts in deploy/, dry or against a fake project. */
import { spawn, type SpawnOptionsWithoutStdio } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const deploy = fileURLToPath(new URL('../../../deploy/', import.meta.url));

export interface ScriptResult {
  code: number | null;
  output: string;
  errors: string;
}

export interface Command {
  words: string[];
  line: string;
}

export async function runScript(
  script: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<ScriptResult> {
  return run('bash', [`${deploy}${script}`, ...args], {
    env: { PATH: process.env['PATH'], PROJECT_ID: 'my-project', GRANT_RETRY_SECONDS: '0', ...env },
  });
}

/** Returns the commands that a dry run prints, in order. */
export async function dryRun(
  script: string,
  env: Record<string, string> = {},
  args: string[] = [],
): Promise<Command[]> {
  const { code, output, errors } = await runScript(script, ['--dry-run', ...args], env);
  if (code !== 0) throw new Error(`${script} --dry-run failed:\n${errors}`);
  const lines = output.split('\n').filter((line) => line.startsWith('gcloud '));
  return lines.map((line) => ({ line, words: parseWords(line) }));
}

export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptionsWithoutStdio,
  input = '',
): Promise<ScriptResult> {
  const child = spawn(command, args, { timeout: 60_000, ...options });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // A script that refuses its arguments may end before it has read its input (EPIPE).
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code, output, errors] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  return { code, output, errors };
}

/** Parses the output of bash's `printf %q`: words separated by blanks, with backslash escapes. */
function parseWords(line: string): string[] {
  return [...line.matchAll(/(?:\\.|[^\s\\])+/g)].map(([word]) => word.replace(/\\(.)/g, '$1'));
}
