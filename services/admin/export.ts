/**
 * `npm run admin -- export`: everything that is stored for a caller, as JSON lines. Each line has a `cursor`: an export that was
 * interrupted continues after the last line that was written, with `--after`.
 */
import { parseArgs } from 'node:util';
import { exportOwnerRows, listOwnerTasks, readTaskExport } from '#shared/db/owners/export.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { CommandError, type AdminCommand } from './command.ts';

const pageSize = 50;

export const exportCommand: AdminCommand = {
  usage: '--owner O [--after CURSOR]   all data of a caller as JSON lines, without secrets',
  run: async ({ db, args, print }) => {
    const { owner, after } = parseArguments(args);
    let lines = 0;
    let cursor = after;
    if (cursor === undefined) {
      // Before the tasks, and without a cursor: few rows, which an export from the start repeats.
      for (const row of await exportOwnerRows(db, owner)) {
        print(JSON.stringify(row));
        lines += 1;
      }
    }
    for (let ids = await listOwnerTasks(db, owner, cursor, pageSize); ids.length > 0;) {
      for (const id of ids) {
        const task = await readTaskExport(db, id);
        // A task may be deleted meanwhile.
        if (task !== undefined) print(JSON.stringify({ type: 'task', cursor: id, ...task }));
        lines += 1;
        cursor = id;
      }
      ids = await listOwnerTasks(db, owner, cursor, pageSize);
    }
    return { lines };
  },
};

function parseArguments(args: readonly string[]): { owner: string; after: string | undefined } {
  try {
    const { owner, after } = parseArgs({
      args: [...args],
      options: { owner: { type: 'string' }, after: { type: 'string' } },
    }).values;
    if (owner !== undefined && owner !== '' && (after === undefined || isUuid(after)))
      return { owner, after };
  } catch {
    // Reported below.
  }
  throw new CommandError(
    'export expects --owner as stored with its tasks, and --after with the cursor of the last line to continue',
  );
}
