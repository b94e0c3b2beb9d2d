/** Keeps the logs of all processes in a file of the data directory, for `longhaul mcp`. Two files bound its size. */
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { getDevLog, getOlderDevLog } from '#shared/runtime/config/dev-log.ts';
import { formatAsJson, type Print } from './log-output.ts';

const maxBytes = 8 * 1024 * 1024;

/**
 * Returns a function that writes an entry at once: the last ones say why the stack has ended. Entries from before the directory
 * exists are left out. A file that cannot be written ends the log, and not the stack.
 */
export function createLogFile(dataDir: string, max = maxBytes): Print {
  const file = getDevLog(dataDir);
  let open: { descriptor: number; size: number } | undefined;
  let isBroken = false;

  function openFile(): { descriptor: number; size: number } {
    const descriptor = openSync(file, 'a', 0o600);
    return { descriptor, size: fstatSync(descriptor).size };
  }

  return (service, entry) => {
    if (isBroken || (open === undefined && !existsSync(dataDir))) return;
    try {
      open ??= openFile();
      if (open.size > max) {
        closeSync(open.descriptor);
        renameSync(file, getOlderDevLog(dataDir));
        open = openFile();
      }
      open.size += writeSync(open.descriptor, `${formatAsJson(service, entry)}\n`);
    } catch {
      isBroken = true;
    }
  };
}
