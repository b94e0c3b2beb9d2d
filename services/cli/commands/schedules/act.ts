/** `longhaul schedules delete`, `pause`, `resume` and `run`. */
import type { Command } from 'commander';
import { exitStatus } from '../../failure.ts';
import { print, printJson } from '../../output/terminal.ts';
import type { AgentOptions } from '../../settings/settings.ts';
import { addScheduleAction, callSchedules, type ScheduleJson } from './route.ts';

interface Act {
  name: string;
  description: string;
  call: { method: 'POST' | 'DELETE'; below?: string };
  /** Returns the line to print. */
  describe: (id: string, result: Partial<ScheduleJson> & { taskId?: string }) => string;
}

const acts: readonly Act[] = [
  {
    name: 'delete',
    description: 'Delete a schedule. Its tasks stay.',
    call: { method: 'DELETE' },
    describe: (id) => `${id} is deleted`,
  },
  {
    name: 'pause',
    description: 'Start no more tasks until the schedule is resumed.',
    call: { method: 'POST', below: '/pause' },
    describe: (id) => `${id} is paused`,
  },
  {
    name: 'resume',
    description: 'Resume a paused schedule.',
    call: { method: 'POST', below: '/resume' },
    describe: (id, { nextAt = '' }) => `${id} is next due at ${nextAt}`,
  },
  {
    name: 'run',
    description: 'Start a task of a schedule now, and print its id.',
    call: { method: 'POST', below: '/run' },
    describe: (_, { taskId = '' }) => taskId,
  },
];

export function addActCommands(group: Command): void {
  for (const { name, description, call, describe } of acts) {
    const command = group.command(name).description(description).argument('<id>', 'id of the schedule');
    addScheduleAction<AgentOptions, [string]>(command, [`${name} report`], async ({ agent, options }, id) => {
      const body = call.method === 'POST' ? {} : undefined;
      const result = await callSchedules<object>(agent, id, { ...call, ...(body && { body }) });
      if (options.json) printJson(result);
      else print(describe(id, result));
      return exitStatus.done;
    });
  }
}
