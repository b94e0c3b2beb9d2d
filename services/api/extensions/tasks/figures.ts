/** `GET /stats` and `GET /usage`: the caller's tasks, tokens and cost in figures. */
import type { Db } from '#shared/db/client/pool.ts';
import { readLedger, toUsage } from '#shared/db/models/ledger.ts';
import type { Caller } from '#shared/db/tasks/visibility.ts';
import type { TaskStats, UsageReport } from '#shared/domain/views.ts';
import type { ExtensionCall } from '../routes.ts';
import { readDays } from './query.ts';

export function getStats(
  { readStats }: { readStats: (caller: Caller) => Promise<TaskStats> },
  { caller }: ExtensionCall,
): Promise<TaskStats> {
  return readStats(caller);
}

export async function getUsage({ db }: { db: Db }, { caller, query }: ExtensionCall): Promise<UsageReport> {
  const days = readDays(query);
  const lines = await readLedger(db, ['day', 'model'], { ...days, ...caller });
  return {
    ...days,
    lines: lines.map(({ day = '', model = '', ...line }) => ({ day, model, ...toUsage(line) })),
  };
}
