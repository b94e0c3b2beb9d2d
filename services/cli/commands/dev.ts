/**
 * `longhaul dev`: everything on this machine, with the agent of the working directory. A change to the agent restarts
 * the worker. Other settings are the environment variables of `npm start`, also from a file `.env`.
 */
import { existsSync } from 'node:fs';
import { InvalidArgumentError, type Command } from 'commander';
import { runMain, useAgent, useAgentOfFolder } from '../run-main.ts';

interface DevOptions {
  agent: string[];
  port?: number;
  watch: boolean;
}

export function addDevCommand(program: Command): void {
  program
    .command('dev')
    .description(
      'Run everything on this machine with the agent of this folder, and restart it when it changes.',
    )
    .option('--agent <file...>', 'the agent: YAML, a TypeScript or JavaScript module, or both', [])
    .option('--port <number>', 'port of the api; 0 for any free port (8080)', parsePort)
    .option('--no-watch', 'do not restart the worker when the agent changes')
    .addHelpText('after', '\nEnvironment variables and the file .env: docs/operate/configuration.md')
    .action(async ({ agent, port, watch }: DevOptions, command: Command) => {
      if (existsSync('.env')) process.loadEnvFile();
      for (const file of agent) useAgent(file);
      useAgentOfFolder(command);
      if (port !== undefined) process.env['PORT'] = String(port);
      await runMain('local', watch ? ['--dev', '--watch'] : ['--dev']);
    });
}

function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError('Expected a number from 0 to 65535.');
}
