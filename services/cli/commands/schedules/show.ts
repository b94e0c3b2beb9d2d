/** `longhaul schedules list`, `get` and `history`. */
import type { Command } from 'commander';
import { exitStatus } from '../../failure.ts';
import { printJson, printTable } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, type AgentOptions } from '../../settings/settings.ts';
import { parseCount } from '../../settings/values.ts';
import { callSchedules, listPages, type ScheduleJson } from './route.ts';

interface FiringJson {
  dueAt: string;
  until?: string;
  count?: number;
  manual?: boolean;
  state: string;
  taskId?: string;
  reason?: string;
}

type ListOptions = AgentOptions & { limit: number };

const head = ['SCHEDULE', 'TIMES', 'OVERLAP', 'NEXT', 'LAST TASK'];

export function addListCommand(group: Command): void {
  const command = group
    .command('list')
    .description('List your schedules, by id.')
    .option('--limit <count>', 'at most so many', parseCount(10_000), 100);
  addAgentOptions(command)
    .addHelpText('after', '\nExamples:\n  longhaul schedules list')
    .action((options: ListOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const schedules = await listPages(options.limit, async (below) => {
          const page = await callSchedules<{ schedules: ScheduleJson[]; nextPageToken: string }>(
            agent,
            undefined,
            { below },
          );
          return { ...page, entries: page.schedules };
        });
        if (options.json) for (const schedule of schedules) printJson(schedule);
        else printTable(head, schedules.map(scheduleToRow));
        return exitStatus.done;
      }),
    );
}

export function addGetCommand(group: Command): void {
  const command = group
    .command('get')
    .description('Print a schedule. --json prints its message too.')
    .argument('<id>', 'id of the schedule');
  addAgentOptions(command)
    .addHelpText('after', '\nExamples:\n  longhaul schedules get report --json')
    .action((id: string, options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const schedule = await callSchedules<ScheduleJson>(agent, id);
        if (options.json) printJson(schedule);
        else printTable(head, [scheduleToRow(schedule)]);
        return exitStatus.done;
      }),
    );
}

export function addHistoryCommand(group: Command): void {
  const command = group
    .command('history')
    .description('Print what happened at the due times of a schedule, newest first.')
    .argument('<id>', 'id of the schedule')
    .option('--limit <count>', 'at most so many', parseCount(10_000), 20);
  addAgentOptions(command)
    .addHelpText('after', '\nExamples:\n  longhaul schedules history report')
    .action((id: string, options: ListOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const firings = await listPages(options.limit, async (query) => {
          const page = await callSchedules<{ firings: FiringJson[]; nextPageToken: string }>(agent, id, {
            below: `/firings${query}`,
          });
          return { ...page, entries: page.firings };
        });
        if (options.json) for (const firing of firings) printJson(firing);
        else printTable(['DUE', 'STATE', 'TASK OR REASON'], firings.map(firingToRow));
        return exitStatus.done;
      }),
    );
}

function scheduleToRow({
  id,
  cron,
  timeZone,
  everySeconds,
  overlap,
  paused,
  ...schedule
}: ScheduleJson): string[] {
  const times = cron === undefined ? `every ${everySeconds} s` : `${cron} ${timeZone ?? 'UTC'}`;
  const { nextAt = '', lastTaskId = '' } = schedule;
  return [id, times, overlap, paused ? 'paused' : nextAt, lastTaskId];
}

function firingToRow({ dueAt, until, count = 1, manual, state, taskId, reason }: FiringJson): string[] {
  const due = count > 1 ? `${dueAt} to ${until}, ${count} times` : dueAt;
  const cause = manual === true ? 'by run' : '';
  return [due, state, [taskId ?? reason ?? '', cause].filter(Boolean).join(', ')];
}
