/**
 * Builds the final stage of an image as files, without a container builder. It executes the COPY and RUN
 * lines of the Dockerfile, with the production dependencies of the lock file instead of `npm ci`. An unknown
 * line is an error, so that the tests cannot drift away from the Dockerfiles.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeConsole } from '../../../build/console.ts';

const isRoot = process.getuid?.() === 0;
const project = fileURLToPath(new URL('../../../', import.meta.url));

export interface ImageSpec {
  /** Relative paths. */
  copies: { from: string; to: string }[];
  /** Name patterns of the files that are deleted from node_modules. */
  prunedNames: string[];
  env: Record<string, string>;
  /** Directories that the image's user may write to during the build. */
  ownDirectories: string[];
  /** Commands that run as the image's user, after all files are in place. */
  runs: string[];
  user: number;
  /** Whether npm and yarn of the base image stay. */
  packageManagers: boolean;
  entrypoint: string[];
  command: string[];
}

export function readDockerfile(name: string): ImageSpec {
  const lines = readFileSync(path.join(project, name), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const spec: ImageSpec = {
    copies: [],
    prunedNames: [],
    env: {},
    ownDirectories: [],
    runs: [],
    user: 0,
    packageManagers: true,
    entrypoint: [],
    command: [],
  };
  let stage = 'dependencies';
  for (const line of lines) {
    const [instruction = '', ...words] = line.split(/\s+/);
    const rest = words.join(' ');
    if (instruction === 'FROM') {
      stage = words[2] ?? 'final';
      if (
        stage === 'base'
          ? !/^node:24\.\d+\.\d+-bookworm-slim@sha256:[0-9a-f]{64}$/.test(words[0]!)
          : words[0] !== 'base'
      )
        throw new Error(`${name}: every stage must start from one base image, by digest: ${line}`);
    } else if (stage === 'console') {
      // The stage that builds the console: `buildImage` runs its last command.
      if (!['WORKDIR', 'COPY', 'RUN'].includes(instruction))
        throw new Error(`${name}: unknown line: ${line}`);
    } else if (instruction === 'RUN' && rest.startsWith('find node_modules')) {
      spec.prunedNames = [...rest.matchAll(/-name '([^']+)'/g)].map((match) => match[1]!);
    } else if (instruction === 'RUN' && rest.startsWith('npm ci')) {
      if (!rest.includes('--omit=dev') || !rest.includes('--omit=optional')) {
        throw new Error(`${name}: must install production dependencies only: ${line}`);
      }
    } else if (instruction === 'RUN' && rest.startsWith('install -d -o 1000 -g 1000 ')) {
      spec.ownDirectories.push(words.at(-1)!);
    } else if (instruction === 'RUN' && rest.startsWith('node ')) {
      spec.runs.push(rest);
    } else if (
      instruction === 'RUN' &&
      stage === 'final' &&
      rest.startsWith('rm -rf /usr/local/lib/node_modules')
    ) {
      // These are in the base image, which is not built here.
      spec.packageManagers = false;
    } else if (instruction === 'COPY' && stage === 'final') {
      const to = words.at(-1)!;
      for (const from of words.slice(0, -1)) {
        if (from.startsWith('--from=')) continue;
        const source = from.replace('/app/', '');
        spec.copies.push({ from: source, to: to.endsWith('/') ? path.join(to, path.basename(source)) : to });
      }
    } else if (instruction === 'ENV') {
      for (const word of words) spec.env[word.split('=')[0]!] = word.split('=')[1]!;
    } else if (instruction === 'USER') {
      spec.user = Number(rest.split(':')[0]);
    } else if (instruction === 'ENTRYPOINT') {
      spec.entrypoint = JSON.parse(rest) as string[];
    } else if (instruction === 'CMD') {
      spec.command = JSON.parse(rest) as string[];
    } else if (!['ARG', 'WORKDIR', 'EXPOSE', 'COPY'].includes(instruction)) {
      throw new Error(`${name}: unknown line: ${line}`);
    }
  }
  return spec;
}

/** Writes the files to a directory and makes all of its directories read-only. */
export async function buildImage(spec: ImageSpec, into: string): Promise<void> {
  mkdirSync(into, { recursive: true });
  for (const { from, to } of spec.copies) {
    if (from === 'node_modules') installProduction(spec, path.join(into, to));
    else if (from === 'console/static') await writeConsole(path.join(into, to));
    else cpSync(path.join(project, from), path.join(into, to), { recursive: true });
  }
  chmodTree(into, 0o555);
  for (const name of spec.ownDirectories) {
    mkdirSync(path.join(into, name));
    if (isRoot) chownSync(path.join(into, name), spec.user, spec.user);
  }
  for (const command of spec.runs) {
    execFileSync('sh', ['-c', command], {
      cwd: into,
      env: { PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}`, ...spec.env },
      ...(isRoot && { uid: spec.user, gid: spec.user }),
    });
  }
  for (const name of spec.ownDirectories) chmodTree(path.join(into, name), 0o555);
}

export function removeImage(dir: string): void {
  if (!existsSync(dir)) return;
  chmodTree(dir, 0o755);
  rmSync(dir, { recursive: true, force: true });
}

/** Installs what `npm ci --omit=dev --omit=optional` would: the other packages of the lock file. */
function installProduction(spec: ImageSpec, into: string): void {
  const lock = JSON.parse(readFileSync(path.join(project, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>;
  };
  const suffixes = spec.prunedNames.map((name) => name.replace('*', ''));
  for (const [location, entry] of Object.entries(lock.packages)) {
    if (location === '' || entry.dev === true || entry.optional === true || entry.devOptional === true)
      continue;
    linkTree(
      path.join(project, location),
      path.join(into, path.relative('node_modules', location)),
      (name) => name !== 'node_modules' && !suffixes.some((suffix) => name.endsWith(suffix)),
    );
  }
}

/**
 * Creates the directories and hard-links the files. Nested packages are skipped, because they have their own
 * entry in the lock file.
 */
function linkTree(from: string, to: string, included: (name: string) => boolean): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (!included(entry.name)) continue;
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isDirectory()) linkTree(source, target, included);
    else linkOrCopy(source, target);
  }
}

function linkOrCopy(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    cpSync(source, target);
  }
}

function chmodTree(dir: string, mode: number): void {
  chmodSync(dir, mode);
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) chmodTree(path.join(dir, entry.name), mode);
  }
}

/** Returns whether a file is in the build context: `.dockerignore` lists exceptions after `*`. */
export function isSentToBuilder(file: string): boolean {
  const lines = readFileSync(path.join(project, '.dockerignore'), 'utf8').split('\n');
  const allowed = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  return allowed.some((entry) => file === entry || file.startsWith(`${entry}/`));
}
