/** Runs the action of a command: connects, bounds its time, and turns errors into a message and an exit status. */
import { A2AError } from '@a2a-js/sdk/errors';
import type { Command } from 'commander';
import { connect, type Agent } from './agent/connect.ts';
import { CliError, exitStatus, type ExitStatus } from './failure.ts';
import { printError } from './output/terminal.ts';
import { addAgentOptions, getTarget, type AgentOptions } from './settings/settings.ts';

export interface Context<Options> {
  agent: Agent;
  options: Options;
  /** Aborts at the time limit of the command. */
  signal: AbortSignal;
}

export interface TimeOption {
  /** Seconds; undefined: no limit. */
  timeout?: number;
}

/** The work of a command on an agent, with its arguments. */
export type AgentAction<Options, Arguments extends unknown[]> = (
  context: Context<Options>,
  ...args: Arguments
) => Promise<ExitStatus>;

/**
 * Completes a command that calls an agent: the options of all such commands, examples, and its action.
 *
 * @param examples without the name of the program
 */
export function addAgentAction<Options extends AgentOptions, Arguments extends unknown[]>(
  command: Command,
  examples: readonly string[],
  action: AgentAction<Options, Arguments>,
): void {
  const lines = examples.map((example) => `\n  longhaul ${example}`).join('');
  addAgentOptions(command)
    .addHelpText('after', `\nExamples:${lines}`)
    .action((...given: unknown[]) => {
      // Commander passes the arguments, then the options and the command.
      const args = given.slice(0, -2) as Arguments;
      return runOnAgent(given.at(-2) as Options, (context) => action(context, ...args));
    });
}

/** Runs a command on the agent that its options name. */
export async function runOnAgent<Options extends AgentOptions & TimeOption>(
  options: Options,
  action: (context: Context<Options>) => Promise<ExitStatus>,
): Promise<void> {
  await runAction(async () => {
    const controller = new AbortController();
    const timer =
      options.timeout === undefined
        ? undefined
        : setTimeout(() => controller.abort(), options.timeout * 1000);
    try {
      const { signal } = controller;
      const agent = { ...(await connect(getTarget(options), signal)), owner: options.owner };
      return await action({ agent, options, signal });
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      throw new CliError(`not finished after ${options.timeout} s`, { status: exitStatus.timedOut });
    } finally {
      clearTimeout(timer);
    }
  });
}

/** Sets the exit status. Prints errors that are meant for the user without a stack trace. */
export async function runAction(action: () => Promise<ExitStatus>): Promise<void> {
  try {
    process.exitCode = await action();
  } catch (error) {
    if (!(error instanceof CliError || isOfAgent(error))) throw error;
    printError(`longhaul: ${error.message}`);
    process.exitCode = error instanceof CliError ? error.status : exitStatus.failed;
  }
}

/** The client of the SDK throws plain errors for answers that it cannot read. */
function isOfAgent(error: unknown): error is Error {
  return error instanceof A2AError || (error instanceof Error && error.constructor === Error);
}
