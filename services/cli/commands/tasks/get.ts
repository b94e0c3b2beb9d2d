/** `longhaul get`: prints a task as it is now. */
import type { Command } from 'commander';
import type { TaskJson } from '../../agent/json.ts';
import { exitStatus } from '../../failure.ts';
import { partsToText, stateName } from '../../output/task-printer.ts';
import { print, printJson, style, toTerminalText } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, type AgentOptions } from '../../settings/settings.ts';

export function addGetCommand(program: Command): void {
  const command = program
    .command('get')
    .description('Print a task: its state, messages and results.')
    .argument('<id>', 'id of the task');
  addAgentOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul get TASK_ID\n  longhaul get TASK_ID --json | jq .artifacts',
    )
    .action((id: string, options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const task = await agent.get(id);
        if (options.json) printJson(task);
        else printTask(task);
        return exitStatus.done;
      }),
    );
}

function printTask({ id, contextId, status, history = [], artifacts = [] }: TaskJson): void {
  const field = (name: string, value: string): void =>
    print(`${style('bold', name.padEnd(9))}${toTerminalText(value)}`);
  field('task', id);
  if (contextId) field('context', contextId);
  field('state', stateName(status?.state ?? 'unknown'));
  if (status?.timestamp) field('since', status.timestamp);
  if (status?.message) field('says', partsToText(status.message.parts));
  for (const { role, parts } of history) field(role === 'ROLE_USER' ? 'user' : 'agent', partsToText(parts));
  for (const { artifactId, name, parts } of artifacts) {
    print(`\n${style('bold', toTerminalText(name || artifactId))}`);
    print(toTerminalText(partsToText(parts)));
  }
}
