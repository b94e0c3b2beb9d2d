/** `npm run admin -- delete-owner`: removes all that a caller has, as data protection asks for. */
import { parseArgs } from 'node:util';
import { deleteLedgerOfOwner } from '#shared/db/models/ledger.ts';
import { deleteSendsOfOwner, deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import { CommandError, type AdminCommand } from './command.ts';

/** A removal takes a row from each of ten tables. */
const batch = 100;

export const deleteOwnerCommand: AdminCommand = {
  usage: '<owner> [--tenant T] --yes   removes all tasks and the usage of a caller, for good',
  run: async ({ db, args, print }) => {
    const { owner, tenant } = readArguments(args);
    let removed = 0;
    for (let found = batch; found === batch; removed += found) {
      found = await deleteTasksOfOwner(db, { tenant, owner }, batch);
    }
    await deleteSendsOfOwner(db, { tenant, owner });
    await deleteLedgerOfOwner(db, { tenant, owner });
    print(`${removed} tasks of ${owner} were removed`);
  },
};

function readArguments(args: readonly string[]): { owner: string; tenant: string } {
  const usage =
    'delete-owner takes the owner as tasks have it, --tenant where one is used, and --yes to mean it';
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { tenant: { type: 'string', default: '' }, yes: { type: 'boolean', default: false } },
    });
    const [owner] = positionals;
    if (owner !== undefined && positionals.length === 1 && values.yes)
      return { owner, tenant: values.tenant };
  } catch {
    // Told below.
  }
  throw new CommandError(usage);
}
