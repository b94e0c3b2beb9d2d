/** `longhaul mcp`: tools for coding agents, over stdio (docs/develop/coding-agents.md). */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { exitStatus } from '../failure.ts';
import { runAction } from '../run.ts';
import { addTargetOptions, getTarget, type TargetOptions } from '../settings/settings.ts';

export function addMcpCommand(program: Command): void {
  const command = program
    .command('mcp')
    .description('Serve tools for coding agents over stdio (MCP): tasks, webhooks, logs, documentation.');
  addTargetOptions(command)
    .addHelpText(
      'after',
      `
Coding agents start it and end it. Logs go to stderr.

Examples:
  claude mcp add longhaul -- npx longhaul mcp
  longhaul mcp --profile prod`,
    )
    .action((options: TargetOptions) =>
      runAction(async () => {
        // The local stack reads the same file, for example DATA_DIR.
        if (existsSync('.env')) process.loadEnvFile();
        const { serveTools } = await import('../mcp/server.ts');
        await serveTools(getTarget(options));
        return exitStatus.done;
      }),
    );
}
