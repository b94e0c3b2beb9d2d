/**
 * `npm run admin -- forget`: deletes a task with its children, or everything of a caller, for data protection requests. It can be
 * run again after a crash: it continues, and succeeds if nothing is left, so that there is a receipt in the audit log even if the
 * crash came after the last deletion. Limits that were set for an owner stay: they are the operator's (`limits unset` removes them).
 */
import { parseArgs } from 'node:util';
import { destroyContentKeys, isInKeyStore, retireContentKey } from '#shared/db/contents/destroy.ts';
import { createKeyStore } from '#shared/db/contents/open.ts';
import { deleteLedgerOfOwner } from '#shared/db/models/ledger.ts';
import { deleteTracesOfOwner } from '#shared/db/owners/traces.ts';
import { hasTasks, recountOwnerUsage } from '#shared/db/owners/usage.ts';
import { deleteSchedulesOfOwner, hasSchedules } from '#shared/db/schedules/store.ts';
import { deleteTaskTree, deleteWakeupsOfOwner, findFamily, findTenants } from '#shared/db/tasks/forget.ts';
import { deleteSendsOfOwner, deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { readContentsConfig } from '#shared/runtime/config/contents.ts';
import { configOrExit } from '#shared/runtime/lifecycle.ts';
import { CommandError, type AdminCommand, type CommandContext } from './command.ts';

/** Small, because deleting a task removes rows from many tables. */
const batchSize = 100;

export const forgetCommand: AdminCommand = {
  usage:
    '--task ID --yes | --owner O [--tenant T] --yes   permanently delete a task with its children, or all tasks, schedules and the usage of a caller, but not the limits set for it',
  run: async (context) => {
    const { task, owner, tenant } = parseArguments(context.args);
    return task === undefined ? forgetOwner(context, owner, tenant) : forgetTask(context, task);
  },
};

async function forgetTask({ db, print }: CommandContext, taskId: string): Promise<Record<string, unknown>> {
  const family = await findFamily(db, taskId);
  if (family === undefined) {
    print(`nothing to delete: there is no task ${taskId}`);
    return { tasks: 0 };
  }
  if (family.parentId !== undefined) {
    throw new CommandError(
      `task ${taskId} was started by task ${family.parentId}, which has its results: forget that task`,
    );
  }
  const tasks = await deleteTaskTree(db, [taskId, ...family.descendants]);
  print(`deleted task ${taskId} and ${tasks - 1} children`);
  return { tasks };
}

async function forgetOwner(
  { db, env, print }: CommandContext,
  owner: string,
  onlyTenant: string | undefined,
): Promise<Record<string, unknown>> {
  const store = createKeyStore(configOrExit(() => readContentsConfig(env)));
  if (store === undefined && (await isInKeyStore(db, owner))) {
    throw new CommandError(
      `the key of ${owner} is in a key store: set CONTENT_KEY_STORE as for the services`,
    );
  }
  await retireContentKey(db, owner);
  const tenants = onlyTenant === undefined ? await findTenants(db, owner) : [onlyTenant];
  let [tasks, schedules] = [0, 0];
  await deleteWakeupsOfOwner(db, owner);
  for (const tenant of tenants) {
    // First, because they start tasks.
    schedules += await deleteSchedulesOfOwner(db, { tenant, owner });
    for (let count = batchSize; count === batchSize; tasks += count) {
      count = await deleteTasksOfOwner(db, { tenant, owner }, batchSize);
    }
    await deleteSendsOfOwner(db, { tenant, owner });
    await deleteLedgerOfOwner(db, { tenant, owner });
  }
  await recountOwnerUsage(db, owner);
  const isAll = !(await hasTasks(db, owner));
  if (isAll) await deleteTracesOfOwner(db, owner);
  // Contents that were sent since have another key. Other tenants may have contents with the old one.
  const isUnused = onlyTenant === undefined || (isAll && !(await hasSchedules(db, owner)));
  const keys = isUnused ? await destroyContentKeys(db, store, owner) : 0;
  const isNothing = tasks + schedules === 0;
  print(
    isNothing
      ? `nothing to delete: there are no tasks or schedules of ${owner} (owners are stored as key:NAME or ISSUER|SUBJECT)`
      : `deleted ${tasks} tasks and ${schedules} schedules of ${owner}`,
  );
  if (keys > 0) print(`destroyed the key of the contents of ${owner}`);
  return { tasks, schedules, ...(keys > 0 && { keys }) };
}

function parseArguments(args: readonly string[]): {
  task: string | undefined;
  owner: string;
  tenant: string | undefined;
} {
  try {
    const { task, owner, tenant, yes } = parseArgs({
      args: [...args],
      options: {
        task: { type: 'string' },
        owner: { type: 'string' },
        tenant: { type: 'string' },
        yes: { type: 'boolean', default: false },
      },
    }).values;
    const isTask = task !== undefined && isUuid(task) && owner === undefined && tenant === undefined;
    const isOwner = task === undefined && owner !== undefined && owner !== '';
    if (yes && (isTask || isOwner)) return { task, owner: owner ?? '', tenant };
  } catch {
    // Reported below.
  }
  throw new CommandError(
    'forget expects --task with the id of a task, or --owner as stored with its tasks (with --tenant: only that tenant), and --yes to confirm',
  );
}
