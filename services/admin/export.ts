/**
 * `npm run admin -- export`: everything that is stored for a caller, as JSON lines. Each line has a `cursor`: an export that was
 * interrupted continues after the last line that was written, with `--after`.
 */
import { parseArgs } from 'node:util';
import { exportOwnerRows, listOwnerTasks, readTaskExport } from '#shared/db/owners/export.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { isObjectUrl, uploadLines } from '#shared/gcp/upload.ts';
import { CommandError, type AdminCommand } from './command.ts';

const pageSize = 50;

export const exportCommand: AdminCommand = {
  usage:
    '--owner O [--after CURSOR] [--to gs://BUCKET/NAME]   all data of a caller as JSON lines, without secrets',
  run: async ({ db, env, args, print }) => {
    const { owner, after, to } = parseArguments(args);
    if (to === undefined && env['CLOUD_RUN_JOB'] !== undefined) {
      throw new CommandError(
        'what a job prints is logged: export expects --to with an object, such as gs://my-bucket/alice.ndjson',
      );
    }
    let count = 0;
    async function* readLines(): AsyncGenerator<string> {
      let cursor = after;
      if (cursor === undefined) {
        // Before the tasks, and without a cursor: few rows, which an export from the start repeats.
        for (const row of await exportOwnerRows(db, owner)) {
          yield JSON.stringify(row);
          count += 1;
        }
      }
      for (let ids = await listOwnerTasks(db, owner, cursor, pageSize); ids.length > 0;) {
        for (const id of ids) {
          const task = await readTaskExport(db, id);
          // A task may be deleted meanwhile.
          if (task !== undefined) yield JSON.stringify({ type: 'task', cursor: id, ...task });
          count += 1;
          cursor = id;
        }
        ids = await listOwnerTasks(db, owner, cursor, pageSize);
      }
    }
    if (to === undefined) {
      for await (const line of readLines()) print(line);
    } else {
      await uploadLines(to, readLines(), { host: env['STORAGE_EMULATOR_HOST'] });
      print(`wrote ${count} lines to ${to}`);
    }
    return { lines: count };
  },
};

function parseArguments(args: readonly string[]): {
  owner: string;
  after: string | undefined;
  to: string | undefined;
} {
  try {
    const option = { type: 'string' } as const;
    const options = { owner: option, after: option, to: option };
    const { owner, after, to } = parseArgs({ args: [...args], options }).values;
    const isTarget = to === undefined || isObjectUrl(to);
    if (owner !== undefined && owner !== '' && (after === undefined || isUuid(after)) && isTarget)
      return { owner, after, to };
  } catch {
    // Reported below.
  }
  throw new CommandError(
    'export expects --owner as stored with its tasks, --after with the cursor of the last line to continue, and --to as gs://BUCKET/NAME',
  );
}
