/** `longhaul cancel`: cancels tasks. */
import type { Command } from 'commander';
import { A2AError } from '@a2a-js/sdk/errors';
import { exitStatus } from '../../failure.ts';
import { stateName } from '../../output/task-printer.ts';
import { print, printError, printJson } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, type AgentOptions } from '../../settings/settings.ts';

export function addCancelCommand(program: Command): void {
  const command = program
    .command('cancel')
    .description('Cancel tasks.')
    .argument('<id...>', 'ids of the tasks');
  addAgentOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul cancel TASK_ID\n  longhaul list --state working --json | jq -r .id | xargs longhaul cancel',
    )
    .action((ids: string[], options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        let failures = 0;
        for (const id of ids) {
          try {
            const task = await agent.cancel(id);
            if (options.json) printJson(task);
            else print(`${id} ${stateName(task.status?.state ?? 'unknown')}`);
          } catch (error) {
            if (!(error instanceof A2AError)) throw error;
            failures++;
            printError(`${id}: ${error.message}`);
          }
        }
        return failures === 0 ? exitStatus.done : exitStatus.failed;
      }),
    );
}
