/** The routes of the schedules extension (docs/extensions/schedules.md), as the commands call them. */
import type { Agent } from '../../agent/connect.ts';
import { callRoute, type RouteCall } from '../../agent/rest.ts';

const extension = 'https://longhaul.dev/ext/schedules/v1';

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

/** @param id undefined: all schedules */
export async function callSchedules<T>(
  agent: Agent,
  id: string | undefined,
  { below = '', ...call }: RouteCall & { below?: string } = {},
): Promise<T> {
  const path = id === undefined ? '/schedules' : `/schedules/${encodeURIComponent(id)}`;
  return await callRoute<T>(agent, extension, `${path}${below}`, call);
}

/** Reads pages until there are as many entries as wanted, or no more. */
export async function listPages<T>(
  limit: number,
  read: (query: string) => Promise<{ entries: T[]; nextPageToken: string }>,
): Promise<T[]> {
  const all: T[] = [];
  let pageToken = '';
  do {
    const pageSize = String(Math.min(100, limit - all.length));
    const page = await read(`?${new URLSearchParams({ pageSize, pageToken }).toString()}`);
    all.push(...page.entries);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && all.length < limit);
  return all;
}
