/** `longhaul rerun`: starts ended tasks again, or runs the turn of a task again from a step. */
import { InvalidArgumentError, type Command } from 'commander';
import { tasksExtension } from '#shared/domain/views.ts';
import { callRoute } from '../../agent/rest.ts';
import { exitStatus, type ExitStatus } from '../../failure.ts';
import { print, printError, printJson } from '../../output/terminal.ts';
import { runOnAgent, type Context } from '../../run.ts';
import { addAgentOptions, addOwnerOption, type AgentOptions } from '../../settings/settings.ts';

interface StepName {
  name: string;
  occurrence: number;
}

interface RerunOptions extends AgentOptions {
  fromStep?: StepName;
  newContext?: boolean;
  requestId?: string;
  dryRun?: boolean;
}

interface Result {
  taskId: string;
  outcome: string;
  newTaskId?: string;
  message?: string;
  steps?: StepName[];
}

export function addRerunCommand(program: Command): void {
  const command = program
    .command('rerun')
    .description('Start ended tasks again, or run the turn of a task again from a step.')
    .argument('<id...>', 'ids of the tasks, at most 100')
    .option(
      '--from-step <step>',
      'run the current turn again from this step: NAME, or NAME#2 for its third run',
      parseStep,
    )
    .option('--new-context', 'start in a conversation of its own')
    .option('--request-id <id>', 'makes a repeat safe: the same id starts no second task')
    .option('--dry-run', 'only print what would happen');
  addAgentOptions(addOwnerOption(command))
    .addHelpText(
      'after',
      `
Examples:
  longhaul rerun TASK_ID
  longhaul rerun TASK_ID --from-step model --dry-run
  longhaul list --state failed --json | jq -r .id | xargs longhaul rerun --request-id after-the-fix`,
    )
    .action((ids: string[], options: RerunOptions) => runOnAgent(options, (context) => rerun(ids, context)));
}

async function rerun(taskIds: string[], { agent, options }: Context<RerunOptions>): Promise<ExitStatus> {
  const { fromStep, newContext, requestId, dryRun = false } = options;
  const body = {
    taskIds,
    dryRun,
    ...(fromStep !== undefined && { fromStep }),
    ...(newContext !== undefined && { newContext }),
    ...(requestId !== undefined && { requestId }),
  };
  const { results } = await callRoute<{ results: Result[] }>(agent, tasksExtension, '/tasks:rerun', {
    method: 'POST',
    body,
  });
  let failures = 0;
  for (const result of results) {
    const done = result.outcome === 'started' || result.outcome === 'restarted';
    if (!done) failures += 1;
    if (options.json) printJson(result);
    else if (done) print(describe(result, dryRun));
    else printError(`${result.taskId}: ${result.message ?? result.outcome.replaceAll('_', ' ')}`);
  }
  return failures === 0 ? exitStatus.done : exitStatus.failed;
}

function describe({ taskId, newTaskId, steps }: Result, dryRun: boolean): string {
  const would = dryRun ? 'would be ' : '';
  if (steps === undefined) return [`${taskId} ${would}started again`, newTaskId].filter(Boolean).join(' as ');
  return `${taskId} ${would}restarted: ${steps.map(({ name, occurrence }) => `${name}#${occurrence}`).join(', ')}`;
}

/** The number after `#` counts from 0, as in timelines. */
function parseStep(value: string): StepName {
  const [, name = '', occurrence = '0'] = /^(.+?)(?:#(\d{1,6}))?$/s.exec(value) ?? [];
  if (name === '') throw new InvalidArgumentError('Expected the name of a step, such as model or model#2.');
  return { name, occurrence: Number(occurrence) };
}
