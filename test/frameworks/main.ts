/**
 * `npm run frameworks` checks the adapters of frameworks (sdk/) with the real packages, in their lowest and highest
 * supported versions, which it installs into two folders next to this file. It checks types, then runs the tests.
 *
 *   -- --only lowest        one of the two folders
 *   -- ai-sdk               the tests of one framework
 *   -- --test-name-pattern  is passed on to the test runner
 *   -- bench                measures the overhead of a recorded model call, with the highest versions; -- bench adk: of one framework
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const root = path.resolve(here, '../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, 'test-name-pattern': { type: 'string' } },
});
const folders = ['highest', 'lowest'].filter((folder) => (values.only ?? folder) === folder);
if (folders.length === 0) throw new Error(`--only ${values.only}: expected highest or lowest.`);

if (positionals[0] === 'bench') {
  install('highest');
  process.exit(runNode('highest', [path.join(here, 'bench/main.ts'), ...positionals.slice(1)]));
}
const failed = folders.filter((folder) => {
  install(folder);
  process.stdout.write(`\n${folder}: ${describe(folder)}\n`);
  return checkTypes(folder) !== 0 || runTests(folder) !== 0;
});
if (failed.length > 0) process.stdout.write(`failed: ${failed.join(', ')}\n`);
process.exit(failed.length);

/** Installs the packages, unless those of the lock file are installed. */
function install(folder: string): void {
  const cwd = path.join(here, folder);
  const lock = path.join(cwd, 'package-lock.json');
  const installed = path.join(cwd, 'node_modules/.installed.json');
  if (read(lock) === read(installed)) return;
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd, stdio: 'inherit' });
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

function checkTypes(folder: string): number {
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  return run(tsc, ['--noEmit', '--project', path.join(here, folder)], {});
}

function runTests(folder: string): number {
  const frameworks = positionals.length > 0 ? positionals : ['*'];
  const files = frameworks.flatMap((name) => globSync(`${name}/**/*.test.ts`, { cwd: here }).sort());
  const pattern = values['test-name-pattern'];
  return runNode(folder, [
    '--test',
    '--test-concurrency=2',
    '--test-global-setup=test/support/global-setup.ts',
    '--test-timeout=300000',
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
