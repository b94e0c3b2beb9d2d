/** Runs the main file of a service in this process, so that the service receives the signals. */
import path from 'node:path';
import type { Command } from 'commander';
import { findAgent } from './agent-files.ts';

const configError = 78; // EX_CONFIG of sysexits.h, as the services use it

/** Imports the file by its address, because services do not import one another. */
export async function runMain(service: string, args: readonly string[] = []): Promise<void> {
  const main = import.meta.resolve(`#services/${service}/main.ts`);
  process.argv.splice(1, Infinity, main, ...args);
  await import(main);
}

/** Sets the variables that name the agent of the working directory, or reports that it has none. */
export function useAgentOfFolder(command: Command): void {
  try {
    Object.assign(process.env, findAgent(process.cwd(), process.env));
  } catch (error) {
    command.error((error as Error).message, { exitCode: configError });
  }
}

/** Sets AGENT_FILE for YAML, otherwise AGENT_MODULE. */
export function useAgent(file: string): void {
  process.env[/^\.ya?ml$/.test(path.extname(file)) ? 'AGENT_FILE' : 'AGENT_MODULE'] = file;
}
