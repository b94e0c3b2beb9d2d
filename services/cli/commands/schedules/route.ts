/** The routes of the schedules extension (docs/extensions/schedules.md), as the commands call them. */
import type { Command } from 'commander';
import { schedulesExtension } from '#shared/domain/schedule.ts';
import type { Agent } from '../../agent/connect.ts';
import { callRoute, type RouteCall } from '../../agent/rest.ts';
import { addAgentAction, type AgentAction } from '../../run.ts';
import { addOwnerOption, type AgentOptions } from '../../settings/settings.ts';

export interface ScheduleJson {
  id: string;
  cron?: string;
  timeZone?: string;
  everySeconds?: number;
  overlap: string;
  paused: boolean;
  nextAt?: string;
  lastTaskId?: string;
}

/** Completes a command. @param examples without the names of the program and the group */
export function addScheduleAction<Options extends AgentOptions, Arguments extends unknown[]>(
  command: Command,
  examples: readonly string[],
  action: AgentAction<Options, Arguments>,
): void {
  const calls = examples.map((example) => `schedules ${example}`);
  addAgentAction(addOwnerOption(command), calls, action);
}

/** @param id undefined: all schedules */
export async function callSchedules<T>(
  agent: Agent,
  id: string | undefined,
  { below = '', ...call }: RouteCall & { below?: string } = {},
): Promise<T> {
  const path = id === undefined ? '/schedules' : `/schedules/${encodeURIComponent(id)}`;
  return await callRoute<T>(agent, schedulesExtension, `${path}${below}`, call);
}
