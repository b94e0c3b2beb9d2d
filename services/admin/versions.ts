/** `npm run admin -- versions`: which versions of the agent run, and how many turns are left of each. */
import { countVersions } from '#shared/db/queue/versions.ts';
import { CommandError, type AdminCommand } from './command.ts';

export const versionsCommand: AdminCommand = {
  usage: '[--json]   versions of the agent, and their turns',
  run: async ({ db, args, print }) => {
    if (args.some((arg) => arg !== '--json'))
      throw new CommandError('versions expects no argument but --json');
    const versions = await countVersions(db);
    if (args.includes('--json')) {
      print(JSON.stringify(versions));
      return;
    }
    if (versions.length === 0)
      print('No worker runs an agent that declares a version, and no turn is left of one.');
    for (const { version, turns, waiting, running } of versions) {
      const waits = waiting > 0 ? `, ${waiting} of them without a worker` : '';
      print(`${version.padEnd(20)}${running ? 'running    ' : 'not running'}  ${turns} turns${waits}`);
    }
  },
};
