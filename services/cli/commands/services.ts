/**
 * `longhaul api`, `worker`, `dispatcher`, `migrate` and `admin`: what images run. They are configured by environment
 * variables (docs/operate/configuration.md), and the first two run the agent of the working directory by default.
 */
import type { Command } from 'commander';
import { runMain, useAgentOfFolder } from '../run-main.ts';

const services = {
  api: 'Run the service that clients call.',
  worker: 'Run the worker, which runs the turns of the agent.',
  dispatcher: 'Run the dispatcher, which sends webhooks.',
  migrate: 'Migrate the database to the newest schema.',
};

export function addServiceCommands(program: Command): void {
  for (const [name, description] of Object.entries(services)) {
    program
      .command(name)
      .description(description)
      .action(async (_options, command: Command) => {
        if (name === 'api' || name === 'worker') useAgentOfFolder(command);
        await runMain(name);
      });
  }
  program
    .command('admin')
    .description('Run a command for operators; without a command, list them.')
    .argument('[args...]')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action((args: string[]) => runMain('admin', args));
}
