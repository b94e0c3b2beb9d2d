/** `longhaul watch`: follows a task until it ends or waits for its client. */
import type { Command } from 'commander';
import { runOnAgent, type TimeOption } from '../../run.ts';
import { addAgentOptions, type AgentOptions } from '../../settings/settings.ts';
import { parseSeconds } from '../../settings/values.ts';
import { waitForTask } from './wait.ts';

export function addWatchCommand(program: Command): void {
  const command = program
    .command('watch')
    .description('Follow a task: print its text and progress until it ends or waits for you.')
    .argument('<id>', 'id of the task')
    .option('--timeout <seconds>', 'stop watching after this time; the task continues', parseSeconds);
  addAgentOptions(command)
    .addHelpText(
      'after',
      `
A broken connection is resumed. With --json, each line is one event.

Examples:
  longhaul watch TASK_ID
  longhaul watch TASK_ID --json | jq .statusUpdate.status.state`,
    )
    .action((id: string, options: AgentOptions & TimeOption) =>
      runOnAgent(options, ({ agent, signal }) =>
        waitForTask(agent, { id }, { json: options.json ?? false, stream: true, signal }),
      ),
    );
}
