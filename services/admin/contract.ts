/**
 * `npm run admin -- contract`: drops from the schema what only earlier releases used, once none of their code runs. There is no way
 * back to their code afterwards.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readOldCode } from '#shared/db/ops/old-code.ts';
import { allMigrations, contract, listWaitingContractions } from '#shared/db/schema/migrate.ts';
import { readAdminConfig } from '#shared/runtime/config/operator.ts';
import { CommandError, type AdminCommand } from './command.ts';

const pollMs = 2_000;

/** @param lists other migrations than those of this version, for tests */
export function createContractCommand(lists = allMigrations, poll = pollMs): AdminCommand {
  return {
    usage: '[--keep RELEASE] [--wait 0]   drops what only earlier releases used, once they have ended',
    run: async ({ db, env, args, print }) => {
      const { keep, wait } = readOptions(args);
      const { database } = readAdminConfig(env);
      const waiting = await listWaitingContractions(database, lists);
      if (waiting.length === 0) {
        print('nothing to drop: the schema has only what this version needs');
        return { ran: [] };
      }
      const deadline = performance.now() + wait * 1000;
      const ready = Object.keys(lists.contractions).length;
      for (;;) {
        const old = await readOldCode(db, { ready, keep });
        if (old.length === 0) break;
        if (performance.now() >= deadline) {
          throw new CommandError(
            `code of earlier releases still runs, and nothing was dropped: ${old.join(', ')}. Run the command again once it has ended`,
          );
        }
        await sleep(poll);
      }
      const ran = await contract(database, lists);
      print(`dropped what only earlier releases used: ${ran.join(', ')}`);
      return { ran };
    },
  };
}

function readOptions(args: readonly string[]): { keep: string | undefined; wait: number } {
  const option = { type: 'string' } as const;
  let values: { keep?: string; wait?: string };
  try {
    ({ values } = parseArgs({ args: [...args], options: { keep: option, wait: option } }));
  } catch (error) {
    throw new CommandError((error as Error).message, { cause: error });
  }
  const { keep, wait = '0' } = values;
  const seconds = Number(wait);
  if (wait === '' || !Number.isFinite(seconds) || seconds < 0)
    throw new CommandError(`--wait must be a number of seconds of at least 0, not ${wait}`);
  return { keep, wait: seconds };
}
