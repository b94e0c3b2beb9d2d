/** `longhaul cancel`: cancels tasks. */
import type { Command } from 'commander';
import { A2AError } from '@a2a-js/sdk/errors';
import { tasksExtension } from '#shared/domain/views.ts';
import type { Agent } from '../../agent/connect.ts';
import { callRoute } from '../../agent/rest.ts';
import { exitStatus } from '../../failure.ts';
import { stateName } from '../../output/task-printer.ts';
import { print, printError, printJson } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, addOwnerOption, type AgentOptions } from '../../settings/settings.ts';

export function addCancelCommand(program: Command): void {
  const command = program
    .command('cancel')
    .description('Cancel tasks.')
    .argument('<id...>', 'ids of the tasks');
  addAgentOptions(addOwnerOption(command))
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul cancel TASK_ID\n  longhaul list --state working --json | jq -r .id | xargs longhaul cancel',
    )
    .action((ids: string[], options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const failures =
          options.owner === undefined
            ? await cancelOwn(agent, ids, options)
            : await cancelForOwner(agent, ids, options);
        return failures === 0 ? exitStatus.done : exitStatus.failed;
      }),
    );
}

/** Returns how many cannot be canceled. */
async function cancelOwn(agent: Agent, ids: readonly string[], { json }: AgentOptions): Promise<number> {
  let failures = 0;
  for (const id of ids) {
    try {
      const task = await agent.cancel(id);
      if (json) printJson(task);
      else print(`${id} ${stateName(task.status?.state ?? 'unknown')}`);
    } catch (error) {
      if (!(error instanceof A2AError)) throw error;
      failures++;
      printError(`${id}: ${error.message}`);
    }
  }
  return failures;
}

interface Result {
  taskId: string;
  outcome: string;
  state?: string;
}

/** A2A has no operation for another owner, so a route of Longhaul is called. */
async function cancelForOwner(agent: Agent, taskIds: string[], { json }: AgentOptions): Promise<number> {
  const call = { method: 'POST', body: { taskIds } } as const;
  const { results } = await callRoute<{ results: Result[] }>(agent, tasksExtension, '/tasks:cancel', call);
  for (const result of results) {
    const { taskId, outcome, state } = result;
    if (json) printJson(result);
    else if (outcome === 'canceled') print(`${taskId} canceled`);
    else printError(`${taskId}: ${state === undefined ? 'was not found' : `is ${stateName(state)}`}`);
  }
  return results.filter(({ outcome }) => outcome !== 'canceled').length;
}
