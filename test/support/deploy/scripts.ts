/** Runs the scripts in deploy/, dry or against a fake project. */
import { fileURLToPath } from 'node:url';
import { run as runProgram } from '../processes/run.ts';

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
    env: {
      PATH: process.env['PATH'],
      PROJECT_ID: 'my-project',
      SETTINGS_FILE: '',
      GRANT_RETRY_SECONDS: '0',
      ROLE_SECONDS: '0',
      ...env,
    },
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

/** Runs a program to its end, as `runProgram` does. */
export async function run(...args: Parameters<typeof runProgram>): Promise<ScriptResult> {
  const { status, stdout, stderr } = await runProgram(...args);
  return { code: status, output: stdout, errors: stderr };
}

/** Parses the output of bash's `printf %q`: words separated by blanks, with backslash escapes. */
function parseWords(line: string): string[] {
  return [...line.matchAll(/(?:\\.|[^\s\\])+/g)].map(([word]) => word.replace(/\\(.)/g, '$1'));
}
