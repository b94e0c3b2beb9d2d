/**
 * `npm run admin -- delete-owner`: deletes all data of a caller, for data protection requests. Limits that were set for
 * the owner stay: they are the operator's (`limits unset` removes them).
 */
import { parseArgs } from 'node:util';
import { deleteLedgerOfOwner } from '#shared/db/models/ledger.ts';
import { deleteTracesOfOwner } from '#shared/db/owners/traces.ts';
import { deleteSchedulesOfOwner } from '#shared/db/schedules/store.ts';
import { hasTasks, recountOwnerUsage } from '#shared/db/owners/usage.ts';
import { deleteSendsOfOwner, deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { CommandError, type AdminCommand } from './command.ts';

/** Small, because deleting a task removes rows from thirteen tables. */
const batchSize = 100;

export const deleteOwnerCommand: AdminCommand = {
  usage:
    '<owner> [--tenant T] --yes   permanently delete all tasks, schedules and the usage of a caller, but not the limits set for it',
  run: async ({ db, args, print }) => {
    const { owner, tenant } = parseArguments(args);
    // First, because they start tasks.
    const schedules = await deleteSchedulesOfOwner(db, { tenant, owner });
    let deleted = 0;
    for (let count = batchSize; count === batchSize; deleted += count) {
      count = await deleteTasksOfOwner(db, { tenant, owner }, batchSize);
    }
    await deleteSendsOfOwner(db, { tenant, owner });
    await deleteLedgerOfOwner(db, { tenant, owner });
    await recountOwnerUsage(db, owner);
    if (!(await hasTasks(db, owner))) await deleteTracesOfOwner(db, owner);
    if (deleted + schedules === 0) {
      throw new CommandError(
        `no tasks or schedules of the owner ${owner} were found (owners are stored as key:NAME or ISSUER|SUBJECT)`,
      );
    }
    print(`deleted ${deleted} tasks and ${schedules} schedules of ${owner}`);
  },
};

function parseArguments(args: readonly string[]): { owner: string; tenant: string } {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { tenant: { type: 'string', default: '' }, yes: { type: 'boolean', default: false } },
    });
    const [owner] = positionals;
    if (owner !== undefined && positionals.length === 1 && values.yes) {
      return { owner, tenant: values.tenant };
    }
  } catch {
    // Reported below.
  }
  throw new CommandError(
    'delete-owner expects one owner as stored with its tasks, --tenant if the caller uses one, and --yes to confirm',
  );
}
