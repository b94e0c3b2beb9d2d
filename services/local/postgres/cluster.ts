/**
 * Creates the database cluster of a PostgreSQL server, with its own password. A failed creation leaves no
 * cluster.
 */
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { DataDirectory } from './data-directory.ts';
import { runGuarded } from '../processes/guard.ts';
import type { PostgresBinaries } from './binaries.ts';

export const databaseRole = 'longhaul';

/** Creates the cluster if it does not exist, and returns its password. */
export async function ensureCluster(directory: DataDirectory, { initdb }: PostgresBinaries): Promise<string> {
  const passwordFile = path.join(directory.dir, 'postgres.password');
  if (existsSync(directory.clusterDir)) {
    if (!existsSync(passwordFile)) {
      throw new Error(
        `${passwordFile} is missing. Restore it, or remove ${directory.clusterDir} to start with an empty database`,
      );
    }
    return readFileSync(passwordFile, 'utf8').trim();
  }
  for (const entry of readdirSync(directory.dir)) {
    if (entry.startsWith('postgres.new-'))
      rmSync(path.join(directory.dir, entry), { recursive: true, force: true });
  }

  const password = randomBytes(18).toString('base64url');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const temporary = path.join(directory.dir, `postgres.new-${process.pid}`);
  await createCluster(initdb, temporary, passwordFile, directory);
  renameSync(temporary, directory.clusterDir);
  return password;
}

async function createCluster(
  initdb: string,
  dir: string,
  passwordFile: string,
  { user }: DataDirectory,
): Promise<void> {
  mkdirSync(dir, { mode: 0o700 });
  if (user !== undefined) chownSync(dir, user.uid, user.gid);
  // initdb runs as another user. Changing the owner avoids making the file readable for all.
  if (user !== undefined) chownSync(passwordFile, user.uid, user.gid);
  const guarded = runGuarded(
    initdb,
    [
      `--pgdata=${dir}`,
      `--username=${databaseRole}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-sync',
      '--no-instructions',
    ],
    { user, env: { LC_ALL: 'C' }, stopSeconds: 2 },
  );
  const [code, , errors] = await Promise.all([guarded.exited, text(guarded.stdout), text(guarded.stderr)]);
  if (code !== 0) {
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`initdb failed (exit ${code}): ${errors.trim()}`);
  }
}
