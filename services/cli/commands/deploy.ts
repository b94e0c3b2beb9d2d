/** `longhaul deploy`: runs the deploy scripts of the package on Google Cloud, with the image of the agent's folder. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';

export function addDeployCommand(program: Command): void {
  program
    .command('deploy')
    .description('Deploy the agent of this folder on Google Cloud; with steps, only those.')
    .argument('[steps...]')
    .option('--dry-run', 'print every command of a first run, and run none')
    .addHelpText(
      'after',
      `\nSettings are environment variables, also from the file deploy.env: docs/operate/deploy.md lists them. PROJECT_ID is required.`,
    )
    .action(async (steps: string[], { dryRun = false }: { dryRun?: boolean }, command: Command) => {
      if (!existsSync('Dockerfile')) {
        command.error(
          `${process.cwd()} has no Dockerfile: longhaul init writes one, in the folder of an agent.`,
        );
      }
      process.exitCode = await runScript([...(dryRun ? ['--dry-run'] : []), ...steps]);
    });
}

/** @returns the exit status of the script */
async function runScript(args: readonly string[]): Promise<number> {
  const script = fileURLToPath(import.meta.resolve('#deploy/deploy.sh'));
  const env = { ...process.env, AGENT_DIR: path.resolve('.') };
  const child = spawn('bash', [script, ...args], { stdio: 'inherit', env });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}
