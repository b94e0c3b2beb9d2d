/**
 * `npm run openapi` checks the OpenAPI document of a running stack: with the linter of Redocly, and with clients that
 * openapi-typescript and @hey-api/openapi-ts generate from it. The clients are compiled in strict mode, and send, read, list,
 * stream and cancel tasks and configure webhooks. The packages are installed into a temporary folder (75 MB; kept for the
 * next run).
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import { createCleanup } from '../../support/cleanup.ts';
import { globalSetup, globalTeardown } from '../../support/global-setup.ts';
import { scriptedAgent } from '../../support/services/scripted-stack.ts';
import { startStack } from '../../support/stack.ts';

const packages = {
  '@hey-api/openapi-ts': '0.99.0',
  '@redocly/cli': '2.77.0',
  '@types/node': '24.19.2',
  'openapi-fetch': '0.17.0',
  'openapi-typescript': '7.13.0',
  typescript: '5.9.3',
};

/** Installs the packages once and returns the folder. */
async function install(): Promise<string> {
  const folder = join(tmpdir(), `longhaul-openapi-${canonicalHash(packages).slice(0, 12)}`);
  const complete = join(folder, 'complete');
  if (existsSync(complete)) return folder;
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies: packages }),
  );
  const options = ['--no-audit', '--no-fund', '--ignore-scripts'];
  await promisify(execFile)('npm', ['install', ...options], { cwd: folder, maxBuffer: 2 ** 26 });
  writeFileSync(complete, '');
  return folder;
}

/** Redocly's recommended rules. A server of a test has an address of this machine. */
const redocly = { extends: ['recommended'], rules: { 'no-server-example.com': 'off' } };

const heyApi = {
  input: 'openapi.json',
  output: { path: 'generated/hey-api', module: { extension: '.js' } },
  plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'],
};

const compilerOptions = {
  strict: true,
  noUncheckedIndexedAccess: true,
  target: 'es2024',
  lib: ['es2024', 'dom', 'dom.iterable', 'dom.asynciterable'],
  module: 'nodenext',
  moduleResolution: 'nodenext',
  types: ['node'],
  outDir: 'compiled',
  rootDir: '.',
};

/** A step that takes longer has failed. */
const stepMs = 60_000;

const cleanup = createCleanup();
await globalSetup();
try {
  const folder = await install();
  const stack = await startStack(cleanup, { AGENT_MODULE: scriptedAgent });
  await Promise.all([stack.start('api'), stack.start('worker')]);

  const work = join(folder, 'run');
  rmSync(work, { recursive: true, force: true });
  cpSync(new URL('clients', import.meta.url), work, { recursive: true });
  const write = (name: string, content: unknown): void => {
    writeFileSync(join(work, name), JSON.stringify(content, null, 2));
  };
  for (const [version, name] of [
    ['1.0', 'openapi.json'],
    ['0.3', 'openapi-0.3.json'],
  ] as const) {
    write(name, await (await fetch(`${stack.apiUrl}/openapi.json?A2A-Version=${version}`)).json());
  }
  // JSON is YAML too.
  write('redocly.yaml', redocly);
  write('tsconfig.json', { compilerOptions, include: ['*.ts', 'generated'] });
  writeFileSync(join(work, 'openapi-ts.config.mjs'), `export default ${JSON.stringify(heyApi)};\n`);

  // Not synchronously: the emulators of the stack run in this process.
  const run = async (what: string, command: string, ...args: string[]): Promise<void> => {
    const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };
    try {
      await promisify(execFile)(command, args, { cwd: work, env, timeout: stepMs, maxBuffer: 2 ** 26 });
      console.log(`ok   ${what}`);
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      console.log(`FAIL ${what}\n${stdout}${stderr}`);
      process.exitCode = 1;
    }
  };
  const runPackage = (what: string, name: string, ...args: string[]): Promise<void> =>
    run(what, process.execPath, join(folder, 'node_modules/.bin', name), ...args);
  const lint = ['--config', 'redocly.yaml', '--format', 'stylish'];
  await runPackage('redocly lint', 'redocly', 'lint', 'openapi.json', ...lint);
  await runPackage('redocly lint, A2A 0.3', 'redocly', 'lint', 'openapi-0.3.json', ...lint);
  await runPackage('openapi-typescript', 'openapi-typescript', 'openapi.json', '-o', 'generated/schema.ts');
  await runPackage('@hey-api/openapi-ts', 'openapi-ts');
  await runPackage('tsc --strict', 'tsc');
  for (const client of ['openapi-fetch', 'hey-api']) {
    await run(`client of ${client}`, process.execPath, `compiled/${client}.js`, stack.apiUrl);
  }
} finally {
  await cleanup.run();
  await globalTeardown();
}
