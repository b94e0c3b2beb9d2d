/**
 * `npm run frameworks` checks the adapters of frameworks (sdk/) with the real packages, in their supported
 * versions, which it installs into folders next to this file. It checks types, then runs the tests.
 *
 *   -- --only lowest        one of the folders
 *   -- ai-sdk               the tests of one framework
 *   -- --test-name-pattern  is passed on to the test runner
 *   -- bench                measures the overhead of a recorded model call, with the highest versions; -- bench adk: of one framework
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const root = path.resolve(here, '../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, 'test-name-pattern': { type: 'string' } },
});
/** The folders with packages, and the frameworks that are tested with each. */
const suites: Record<string, readonly string[]> = {
  highest: ['ai-sdk', 'adk', 'langgraph', 'gateway', 'pages'],
  'ai-6': ['ai-sdk'],
  lowest: ['ai-sdk', 'langgraph'],
  examples: ['genkit', 'mastra'],
};
const [bench, only] = [positionals[0] === 'bench', values.only];
if (only !== undefined && !Object.hasOwn(suites, only)) {
  throw new Error(`--only ${only}: expected ${Object.keys(suites).join(', ')}.`);
}

if (bench) {
  install('highest');
  process.exit(runNode('highest', [path.join(here, 'bench/main.ts'), ...positionals.slice(1)]));
}
const failed = Object.entries(suites).filter(([folder, frameworks]) => {
  const chosen = frameworks.filter((name) => positionals.length === 0 || positionals.includes(name));
  if (chosen.length === 0 || (only ?? folder) !== folder) return false;
  install(folder);
  process.stdout.write(`\n${folder}: ${describe(folder)}\n`);
  return checkTypes(folder) !== 0 || runTests(folder, chosen) !== 0;
});
if (failed.length > 0) process.stdout.write(`failed: ${failed.map(([folder]) => folder).join(', ')}\n`);
process.exit(failed.length);

/** Installs the packages, unless those of the lock file are installed. */
function install(folder: string): void {
  const cwd = path.join(here, folder);
  const lock = path.join(cwd, 'package-lock.json');
  const installed = path.join(cwd, 'node_modules/.installed.json');
  if (read(lock) === read(installed)) return;
  // npm ci refuses a lock file without an optional package that the registry does not have.
  const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
  execFileSync('npm', ['install', ...options], { cwd, stdio: 'inherit' });
  copyFileSync(lock, installed);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function describe(folder: string): string {
  const { dependencies } = JSON.parse(readFileSync(path.join(here, folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return Object.entries(dependencies)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
}

/** Pages and examples are run only: their frameworks bring types of zod of their own. */
function checkTypes(folder: string): number {
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  // The page of a chat is for browsers.
  const projects = [folder, ...(folder === 'highest' ? ['ai-sdk/page'] : [])];
  return projects
    .map((project) => path.join(here, project))
    .filter((project) => existsSync(path.join(project, 'tsconfig.json')))
    .reduce((failed, project) => failed || run(tsc, ['--noEmit', '--project', project], {}), 0);
}

function runTests(folder: string, frameworks: readonly string[]): number {
  const files = frameworks.flatMap((name) => globSync(`${name}/**/*.test.ts`, { cwd: here }).sort());
  const pattern = values['test-name-pattern'];
  return runNode(folder, [
    '--test',
    '--test-concurrency=2',
    '--test-global-setup=test/support/global-setup.ts',
    '--test-timeout=600000',
    ...(pattern === undefined ? [] : [`--test-name-pattern=${pattern}`]),
    ...files.map((file) => path.join(here, file)),
  ]);
}

function runNode(folder: string, args: readonly string[]): number {
  const preload = `--import=${path.join(here, 'resolve.ts')}`;
  const options = [process.env['NODE_OPTIONS'], preload].filter((option) => option !== undefined).join(' ');
  return run(process.execPath, args, { NODE_OPTIONS: options, FRAMEWORKS: folder });
}

function run(command: string, args: readonly string[], env: Record<string, string>): number {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return status ?? 1;
}
