/** The data directory of a PostgreSQL server: made once, whole or not at all, with a password of its own. */
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

/** Makes the cluster if there is none, and returns its password. */
export async function ensureCluster(place: DataDirectory, { initdb }: PostgresBinaries): Promise<string> {
  const passwordFile = path.join(place.dir, 'postgres.password');
  if (existsSync(place.clusterDir)) {
    if (!existsSync(passwordFile)) {
      throw new Error(`${passwordFile} is missing: put it back, or remove ${place.clusterDir} to begin anew`);
    }
    return readFileSync(passwordFile, 'utf8').trim();
  }
  for (const entry of readdirSync(place.dir)) {
    if (entry.startsWith('postgres.new-'))
      rmSync(path.join(place.dir, entry), { recursive: true, force: true });
  }

  const password = randomBytes(18).toString('base64url');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const aside = path.join(place.dir, `postgres.new-${process.pid}`);
  await makeCluster(initdb, aside, passwordFile, place);
  renameSync(aside, place.clusterDir);
  return password;
}

async function makeCluster(
  initdb: string,
  dir: string,
  passwordFile: string,
  { user }: DataDirectory,
): Promise<void> {
  mkdirSync(dir, { mode: 0o700 });
  if (user !== undefined) chownSync(dir, user.uid, user.gid);
  // Handed over rather than made readable: initdb runs as a user that cannot read our files.
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
  const [code, , complaint] = await Promise.all([guarded.exited, text(guarded.stdout), text(guarded.stderr)]);
  if (code !== 0) {
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`initdb failed (exit ${code}): ${complaint.trim()}`);
  }
}
