/**
 * An image's final stage as files, on a machine without a builder: reads the Dockerfile and does what its COPY and RUN
 * lines say, with the production dependencies of the lock file in place of `npm ci`. A line that it does not know is an
 * error, so that the Dockerfiles cannot drift away from what the tests run.
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

const isRoot = process.getuid?.() === 0;
const project = fileURLToPath(new URL('../../../', import.meta.url));

export interface ImageSpec {
  /** From where to where, both relative. */
  copies: { from: string; to: string }[];
  /** Of files in node_modules that are removed. */
  prunedNames: string[];
  env: Record<string, string>;
  /** What the image's user may write to while it is built. */
  ownDirectories: string[];
  /** Commands of the image's user, when all files are there. */
  runs: string[];
  user: number;
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
    entrypoint: [],
    command: [],
  };
  let stage = 0;
  for (const line of lines) {
    const [instruction = '', ...words] = line.split(/\s+/);
    const rest = words.join(' ');
    if (instruction === 'FROM') {
      stage++;
      if (words[0] !== '${NODE_IMAGE}')
        throw new Error(`${name}: the base image is not an argument: ${line}`);
    } else if (instruction === 'RUN' && rest.startsWith('find node_modules')) {
      spec.prunedNames = [...rest.matchAll(/-name '([^']+)'/g)].map((match) => match[1]!);
    } else if (instruction === 'RUN' && rest.startsWith('npm ci')) {
      if (!rest.includes('--omit=dev') || !rest.includes('--omit=optional')) {
        throw new Error(`${name}: installs more than production needs: ${line}`);
      }
    } else if (instruction === 'RUN' && rest.startsWith('install -d -o 1000 -g 1000 ')) {
      spec.ownDirectories.push(words.at(-1)!);
    } else if (instruction === 'RUN' && rest.startsWith('node ')) {
      spec.runs.push(rest);
    } else if (instruction === 'COPY' && stage === 2) {
      const to = words.at(-1)!;
      for (const from of words.slice(0, -1)) {
        if (from === '--from=dependencies') continue;
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
      throw new Error(`${name}: this line is not understood here: ${line}`);
    }
  }
  return spec;
}

/** Lays the files out under a directory and takes the right to write from all of its directories. */
export function buildImage(spec: ImageSpec, into: string): void {
  mkdirSync(into, { recursive: true });
  for (const { from, to } of spec.copies) {
    if (from === 'node_modules') installProduction(spec, path.join(into, to));
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

/** What `npm ci --omit=dev --omit=optional` installs: the packages of the lock file that are neither. */
function installProduction(spec: ImageSpec, into: string): void {
  const lock = JSON.parse(readFileSync(path.join(project, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>;
  };
  const suffixes = spec.prunedNames.map((name) => name.replace('*', ''));
  for (const [place, entry] of Object.entries(lock.packages)) {
    if (place === '' || entry.dev === true || entry.optional === true || entry.devOptional === true) continue;
    link(
      path.join(project, place),
      path.join(into, path.relative('node_modules', place)),
      (name) => name !== 'node_modules' && !suffixes.some((suffix) => name.endsWith(suffix)),
    );
  }
}

/**
 * Copies without copying: directories of its own, files linked. A package that is nested in another has its own entry in
 * the lock file.
 */
function link(from: string, to: string, wanted: (name: string) => boolean): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (!wanted(entry.name)) continue;
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isDirectory()) link(source, target, wanted);
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

/** What the builder would be sent: `.dockerignore` lists it after a `*` that leaves everything out. */
export function isSentToBuilder(file: string): boolean {
  const lines = readFileSync(path.join(project, '.dockerignore'), 'utf8').split('\n');
  const allowed = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  return allowed.some((one) => file === one || file.startsWith(`${one}/`));
}
