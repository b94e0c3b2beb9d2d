/**
 * `longhaul api`, `worker`, `dispatcher`, `migrate` and `admin`: each runs the main file of that service in this
 * process, so that it receives the signals. They are configured by environment variables (docs/configuration.md).
 */
import type { Command } from 'commander';

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
      .action(() => runMain(name, []));
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

/** Imports the file by its address, because services do not import one another. */
async function runMain(service: string, args: readonly string[]): Promise<void> {
  const main = import.meta.resolve(`#services/${service}/main.ts`);
  process.argv.splice(1, Infinity, main, ...args);
  await import(main);
}
