/**
 * `npm run interop` uses the service with the client libraries and frameworks of the pinned list below, which it
 * installs into a temporary folder (900 MB; kept for the next run). Each client runs in a process of its own. Prints a
 * table, and fails if a check does. `npm run interop -- mastra` runs one of them.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import { createCleanup } from '../../support/cleanup.ts';
import { globalSetup, globalTeardown } from '../../support/global-setup.ts';
import { freePort } from '../../support/network/ports.ts';
import { scriptedAgent } from '../../support/services/scripted-stack.ts';
import { startStack } from '../../support/stack.ts';
import type { InteropClient } from './client.ts';
import { a2aJs02 } from './clients/a2a-js-0.2.ts';
import { adk } from './clients/adk.ts';
import { geminiCli } from './clients/gemini-cli.ts';
import { geminiCliMcp } from './clients/gemini-cli-mcp.ts';
import { mastra } from './clients/mastra.ts';
import { mcpInspector } from './clients/mcp-inspector.ts';
import { strands } from './clients/strands.ts';

// cspell:ignore bufbuild
const packages = {
  'a2a-js-0.2': 'npm:@a2a-js/sdk@0.2.5',
  '@a2a-js/sdk': '0.3.14',
  '@bufbuild/protobuf': '2.17.0',
  '@google/adk': '2.0.0',
  '@google/gemini-cli-core': '0.61.0',
  '@grpc/grpc-js': '1.14.7',
  '@mastra/core': '1.71.0',
  '@modelcontextprotocol/inspector': '2.12.0',
  '@strands-agents/sdk': '1.19.0',
  express: '5.3.0',
};

const clients: Record<string, InteropClient> = {
  'a2a-js-0.2': a2aJs02,
  adk,
  'gemini-cli': geminiCli,
  'gemini-cli-mcp': geminiCliMcp,
  mastra,
  'mcp-inspector': mcpInspector,
  strands,
};

/** A check that takes longer has failed. */
const checkMs = 30_000;

/** Installs the list once and returns the folder. */
async function install(): Promise<string> {
  const folder = join(tmpdir(), `longhaul-interop-${canonicalHash(packages).slice(0, 12)}`);
  const complete = join(folder, 'complete');
  if (existsSync(complete)) return folder;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: packages }));
  const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--legacy-peer-deps'];
  await promisify(execFile)('npm', ['install', ...options], { cwd: folder, maxBuffer: 2 ** 26 });
  writeFileSync(complete, '');
  return folder;
}

/** Runs the checks of one client in this process. */
async function runChecks({ checks, binding }: InteropClient, name: string, url: string, folder: string) {
  // Some clients log there.
  console.debug = () => undefined;
  const rig = { url, folder, load: createRequire(join(folder, 'package.json')) };
  let failed = 0;
  for (const [check, run] of Object.entries(checks)) {
    const timeout = AbortSignal.timeout(checkMs);
    const late = new Promise<never>((_resolve, reject) => {
      timeout.addEventListener('abort', () => reject(new Error(`no end after ${checkMs / 1000} s`)));
    });
    const error = await Promise.race([run(rig), late]).then(
      () => undefined,
      (reason: unknown) => reason ?? new Error('rejected without a reason'),
    );
    if (error !== undefined) failed += 1;
    const outcome = error === undefined ? 'ok' : (error as Error).message;
    console.log(`| ${name} | ${binding} | ${check} | ${outcome.replaceAll(/\s+/g, ' ')} |`);
  }
  process.exit(failed === 0 ? 0 : 1);
}

const [, , name, url, folder] = process.argv;
if (name !== undefined && url !== undefined && folder !== undefined) {
  await runChecks(clients[name]!, name, url, folder);
}

const cleanup = createCleanup();
await globalSetup();
try {
  const names = name === undefined ? Object.keys(clients) : [name];
  if (name !== undefined && clients[name] === undefined) {
    throw new Error(`${name} is not a client: use one of ${Object.keys(clients).join(', ')}`);
  }
  const installed = await install();
  const grpcPort = String(await freePort());
  const stack = await startStack(cleanup, {
    AGENT_MODULE: scriptedAgent,
    GRPC_PORT: grpcPort,
    SEND_WAIT_SECONDS: '10',
  });
  await Promise.all([stack.start('api'), stack.start('worker')]);
  console.log('| client | binding | check | outcome |\n|---|---|---|---|');
  for (const client of names) {
    const child = spawn(process.execPath, [import.meta.filename, client, stack.apiUrl, installed], {
      stdio: ['ignore', 'inherit', 'ignore'],
      cwd: installed,
    });
    const code = await new Promise<number | null>((resolve) => void child.once('exit', resolve));
    if (code !== 0) process.exitCode = 1;
  }
} finally {
  await cleanup.run();
  await globalTeardown();
}
