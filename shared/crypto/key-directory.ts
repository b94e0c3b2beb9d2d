/** Keeps wrapped data keys as files of a directory, for services on one machine. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyStore } from './content-cipher.ts';

export function createKeyDirectory(path: string): KeyStore {
  const toFile = (id: string): string => join(path, `${id}.key`);
  return {
    write: async (id, wrapped) => {
      await mkdir(path, { recursive: true, mode: 0o700 });
      // Never half a key, even after a crash.
      await writeFile(`${toFile(id)}.new`, wrapped, { mode: 0o600, flush: true });
      await rename(`${toFile(id)}.new`, toFile(id));
    },
    read: async (id) => {
      try {
        return await readFile(toFile(id), 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    delete: (id) => rm(toFile(id), { force: true }),
  };
}
