/** Limits of owners at the start of scheduled tasks: the same as for messages, but refusals go to the history. */
import type { Transaction } from 'kysely';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import type { SkipReason } from '../../domain/schedule.ts';
import type { GetOwnerLimits } from '../owners/limits.ts';
import { createUsageReader, type OwnerUsage, type StoredAmounts } from '../owners/usage.ts';
import type { Database } from '../schema/schema.ts';
import type { NewTask } from '../tasks/accept.ts';

/** Counts a task if its owner has room for it, and otherwise returns the limit that it would exceed. */
export type HasRoom = (task: NewTask) => SkipReason | undefined;

/** Reads limits and usage of the owners of a set. */
export async function createRoomCheck(
  trx: Transaction<Database>,
  getLimits: GetOwnerLimits,
  owners: readonly string[],
): Promise<HasRoom> {
  const readUsage = createUsageReader(trx);
  const known = new Map<string, { limits: OwnerLimits; used: OwnerUsage }>();
  await Promise.all(
    [...new Set(owners)].map(async (owner) => {
      const limits = await getLimits(owner);
      const maxOpenTasks = limits.openTasks === 0 ? 0 : limits.openTasks + 1;
      known.set(owner, { limits, used: (await readUsage({ owner, maxOpenTasks })).usage });
    }),
  );
  return (task) => {
    const view = known.get(task.owner);
    if (view === undefined) return undefined;
    const { limits, used } = view;
    const wanted = { openTasks: 1, storedBytes: task.bytes, webhookConfigs: task.webhook === null ? 0 : 1 };
    for (const limit of ['openTasks', 'storedBytes', 'webhookConfigs'] as const) {
      if (limits[limit] > 0 && wanted[limit] > 0 && used[limit] + wanted[limit] > limits[limit]) return limit;
    }
    const { modelCostPerDay } = limits;
    if (modelCostPerDay > 0 && used.modelCostPerDay >= modelCostPerDay) return 'modelCostPerDay';
    for (const limit of ['openTasks', 'storedBytes', 'webhookConfigs'] as const) used[limit] += wanted[limit];
    return undefined;
  };
}

/** Returns what a set of tasks stores, by owner. */
export function toAmounts(tasks: readonly NewTask[]): Map<string, StoredAmounts> {
  const amounts = new Map<string, StoredAmounts>();
  for (const { owner, bytes, webhook } of tasks) {
    const known = amounts.get(owner) ?? { bytes: 0, webhookConfigs: 0 };
    known.bytes += bytes;
    known.webhookConfigs += webhook === null ? 0 : 1;
    amounts.set(owner, known);
  }
  return amounts;
}
