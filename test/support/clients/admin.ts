/** Runs commands of `npm run admin` in this process: tests run dozens of them. */
import { runAdmin as run } from '#services/admin/run.ts';

/** @returns the exit status, and all lines that the command prints */
export async function runAdmin(
  env: Readonly<Record<string, string>>,
  name = '',
  ...args: string[]
): Promise<{ code: number; output: string }> {
  const lines: string[] = [];
  const print = (line: string): void => void lines.push(line);
  const environment = { AUDIT_LOG: '/dev/null', ...env };
  const code = await run(name, args, { environment, print, printError: print });
  return { code, output: lines.join('\n') };
}
