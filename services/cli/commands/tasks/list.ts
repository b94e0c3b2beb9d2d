/** `longhaul list`: lists the tasks of the caller, newest change first. */
import type { Command } from 'commander';
import type { TaskState } from '#shared/domain/task.ts';
import { tasksExtension, type SearchPage, type TaskSummary } from '#shared/domain/views.ts';
import type { Agent } from '../../agent/connect.ts';
import type { TaskJson } from '../../agent/json.ts';
import { callRoute, listPages } from '../../agent/rest.ts';
import { exitStatus, usageError } from '../../failure.ts';
import { stateName } from '../../output/task-printer.ts';
import { printJson, printRows, printTable } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, addOwnerOption, type AgentOptions } from '../../settings/settings.ts';
import { parseCount, parsePastTime, parseState } from '../../settings/values.ts';

interface ListOptions extends AgentOptions {
  state?: TaskState;
  context?: string;
  since?: string;
  limit: number;
}

export function addListCommand(program: Command): void {
  const command = program
    .command('list')
    .description('List your tasks, those with the newest change first.')
    .option('--state <state>', 'only tasks in this state, such as working or input-required', parseState)
    .option('--context <id>', 'only tasks of this conversation')
    .option(
      '--since <time>',
      'only tasks that changed their state after this time, such as 2030-01-31T08:00:00Z or 10m',
      parsePastTime,
    )
    .option('--limit <count>', 'at most so many tasks', parseCount(100_000), 20);
  addAgentOptions(addOwnerOption(command))
    .addHelpText(
      'after',
      `
Agents of A2A 0.3 cannot list tasks.

Examples:
  longhaul list --state working
  longhaul list --limit 1000 --json | jq -r .id`,
    )
    .action((options: ListOptions) =>
      runOnAgent(options, async ({ agent }) => {
        if (options.owner !== undefined) {
          const tasks = await searchForOwner(agent, options);
          printRows(tasks, { json: options.json, head, toRow: summaryToRow });
          return exitStatus.done;
        }
        const rows: string[][] = [];
        for await (const task of listTasks(agent, options)) {
          if (options.json) printJson(task);
          else rows.push(toRow(task));
        }
        if (!options.json) printTable(head, rows);
        return exitStatus.done;
      }),
    );
}

const head = ['TASK', 'STATE', 'SINCE', 'CONTEXT'];

/** A2A has no operation for another owner, so a route of Longhaul is called. */
function searchForOwner(agent: Agent, { state, context, since, limit }: ListOptions): Promise<TaskSummary[]> {
  if (context !== undefined) throw usageError('--context cannot be used with --owner');
  const filter = {
    ...(state !== undefined && { state }),
    ...(since !== undefined && { statusSince: since }),
  };
  return listPages(limit, async (query) => {
    const path = `/search?${new URLSearchParams({ ...filter, ...query }).toString()}`;
    const page = await callRoute<SearchPage>(agent, tasksExtension, path);
    return { ...page, entries: page.tasks };
  });
}

async function* listTasks(
  agent: Agent,
  { state, context, since, limit }: ListOptions,
): AsyncGenerator<TaskJson> {
  let left = limit;
  let pageToken = '';
  do {
    const page = await agent.list({
      pageSize: Math.min(100, left),
      pageToken,
      historyLength: 0,
      ...(state !== undefined && { status: state }),
      ...(context !== undefined && { contextId: context }),
      ...(since !== undefined && { statusTimestampAfter: since }),
    });
    const tasks = (page.tasks ?? []).slice(0, left);
    yield* tasks;
    left -= tasks.length;
    pageToken = page.nextPageToken ?? '';
  } while (left > 0 && pageToken !== '');
}

function summaryToRow({ taskId, contextId, state, statusAt }: TaskSummary): string[] {
  return [taskId, stateName(state), statusAt, contextId];
}

function toRow({ id, contextId = '', status }: TaskJson): string[] {
  return [id, stateName(status?.state ?? 'unknown'), status?.timestamp ?? '', contextId];
}
