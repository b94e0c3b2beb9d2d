/** `longhaul schedules list`, `get` and `history`. */
import type { Command } from 'commander';
import { listPages } from '../../agent/rest.ts';
import { exitStatus } from '../../failure.ts';
import { printRows } from '../../output/terminal.ts';
import type { AgentOptions } from '../../settings/settings.ts';
import { parseCount } from '../../settings/values.ts';
import { addScheduleAction, callSchedules, type ScheduleJson } from './route.ts';

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
  addScheduleAction<ListOptions, []>(command, ['list'], async ({ agent, options }) => {
    const schedules = await listPages(options.limit, async (query) => {
      const below = `?${new URLSearchParams(query).toString()}`;
      const page = await callSchedules<{ schedules: ScheduleJson[]; nextPageToken: string }>(
        agent,
        undefined,
        { below },
      );
      return { ...page, entries: page.schedules };
    });
    printRows(schedules, { json: options.json, head, toRow: scheduleToRow });
    return exitStatus.done;
  });
}

export function addGetCommand(group: Command): void {
  const command = group
    .command('get')
    .description('Print a schedule. --json prints its message too.')
    .argument('<id>', 'id of the schedule');
  addScheduleAction<AgentOptions, [string]>(
    command,
    ['get report --json'],
    async ({ agent, options }, id) => {
      const schedule = await callSchedules<ScheduleJson>(agent, id);
      printRows([schedule], { json: options.json, head, toRow: scheduleToRow });
      return exitStatus.done;
    },
  );
}

export function addHistoryCommand(group: Command): void {
  const command = group
    .command('history')
    .description('Print what happened at the due times of a schedule, newest first.')
    .argument('<id>', 'id of the schedule')
    .option('--limit <count>', 'at most so many', parseCount(10_000), 20);
  addScheduleAction<ListOptions, [string]>(command, ['history report'], async ({ agent, options }, id) => {
    const firings = await listPages(options.limit, async (query) => {
      const below = `/firings?${new URLSearchParams(query).toString()}`;
      const page = await callSchedules<{ firings: FiringJson[]; nextPageToken: string }>(agent, id, {
        below,
      });
      return { ...page, entries: page.firings };
    });
    printRows(firings, {
      json: options.json,
      head: ['DUE', 'STATE', 'TASK OR REASON'],
      toRow: firingToRow,
    });
    return exitStatus.done;
  });
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
