/** `npm run admin -- undeleted`: lists the model calls that Google still stores although their tasks were removed. */
import { listUndeletedCalls } from '#shared/db/models/stored-calls.ts';
import { CommandError, type AdminCommand } from './command.ts';

const maxListed = 1_000;

export const undeletedCommand: AdminCommand = {
  usage: 'list the model calls of removed tasks that could not be deleted at Google, oldest first',
  run: async ({ db, args, print }) => {
    if (args.length > 0) throw new CommandError('undeleted expects no arguments');
    const calls = await listUndeletedCalls(db, maxListed);
    for (const { interaction, removedAt, attempts, error, nextAt } of calls) {
      const next = nextAt === null ? 'left to the retention of Google' : `again at ${nextAt.toISOString()}`;
      print(`${interaction}  removed ${removedAt.toISOString()}  ${attempts} attempts  ${error}  ${next}`);
    }
    print(`${calls.length} calls could not be deleted at Google`);
  },
};
