/** `GET /stats` and `GET /usage`: the caller's tasks, tokens and cost in figures. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { Db } from '#shared/db/client/pool.ts';
import { readLedger } from '#shared/db/models/ledger.ts';
import { readTaskStats } from '#shared/db/tasks/stats.ts';
import type { TaskStats, UsageReport } from '#shared/domain/views.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { ExtensionCall } from '../routes.ts';
import { readDay } from './query.ts';

const dayMs = 86_400_000;
const defaultDays = 30;
const maxDays = 366;

export function getStats({ db }: { db: Db }, { caller }: ExtensionCall): Promise<TaskStats> {
  return readTaskStats(db, caller);
}

export async function getUsage({ db }: { db: Db }, { caller, query }: ExtensionCall): Promise<UsageReport> {
  const until = readDay(query, 'until') ?? toDay(databaseNow());
  const since = readDay(query, 'since') ?? toDay(Date.parse(until) - (defaultDays - 1) * dayMs);
  const days = (Date.parse(until) - Date.parse(since)) / dayMs + 1;
  if (days < 1 || days > maxDays) {
    throw new RequestMalformedError(`since and until must span 1 to ${maxDays} days, not ${days}`);
  }
  const lines = await readLedger(db, ['day', 'model'], { since, until, ...caller });
  return {
    since,
    until,
    lines: lines.map(({ day = '', model = '', calls, cost, unpriced, ...line }) => ({
      day,
      model,
      calls,
      tokens: {
        prompt: line.promptTokens,
        cached: line.cachedTokens,
        tool: line.toolTokens,
        thoughts: line.thoughtTokens,
        output: line.outputTokens,
      },
      cost,
      unpriced,
    })),
  };
}

const toDay = (time: number): string => new Date(Math.max(0, time)).toISOString().slice(0, 10);
