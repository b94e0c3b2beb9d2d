/**
 * Runs once per test run (`node --test --test-global-setup`): starts one PostgreSQL server for all test files, and
 * shares compiled code between all processes of the tests, which halves the time that each needs to start.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startTestServer, type TestServer } from './database/test-server.ts';
import { portVariable, serverVariable } from './database/variables.ts';

let server: TestServer | undefined;
let compileCache: string | undefined;

export async function globalSetup(): Promise<void> {
  compileCache = mkdtempSync(path.join(tmpdir(), 'longhaul-compile-cache-'));
  [server] = await Promise.all([startTestServer(), fillCompileCache(compileCache)]);
  // The test processes inherit these variables.
  process.env[serverVariable] = server.templateUrl;
  process.env[portVariable] = String(server.port);
  process.env['NODE_COMPILE_CACHE'] = compileCache;
  // The scripts of deploy/ start Python often. A version manager may put a script in front of it that takes five times as long.
  const python = spawnSync('python3', ['-S', '-c', 'import sys; print(sys.executable)'], {
    encoding: 'utf8',
  });
  if (python.status === 0)
    process.env['PATH'] = `${path.dirname(python.stdout.trim())}:${process.env['PATH']}`;
}

/** Writes the compiled code of the services, which do not write it themselves: tests kill them. */
async function fillCompileCache(directory: string): Promise<void> {
  const urls = ['api', 'worker', 'dispatcher'].map(
    (name) => new URL(`../../services/${name}/service.ts`, import.meta.url).href,
  );
  const code = `await Promise.all(${JSON.stringify(urls)}.map((url) => import(url)));`;
  const env = { ...process.env, NODE_COMPILE_CACHE: directory };
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], { env, stdio: 'inherit' });
  const [status] = (await once(child, 'exit')) as [number | null];
  if (status !== 0) throw new Error('the code of the services could not be compiled');
}

export async function globalTeardown(): Promise<void> {
  await server?.stop();
  if (compileCache !== undefined) rmSync(compileCache, { recursive: true, force: true });
}
