/**
 * `npm run conformance -- mcp`: runs the server scenarios of the conformance suite of MCP, for both revisions, against an api
 * and a worker. `-- mcp REVISION` runs one of them. Prints the scenarios that pass, and the others with the reason that
 * expected-failures-….yaml gives. The exit code is 1 if another check fails, or if a listed one passes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createCleanup, type Cleanup } from '../../support/cleanup.ts';
import { startStack } from '../../support/stack.ts';
import { compareResults } from './results.ts';

const here = import.meta.dirname;

/** The release of the suite that knows the revision, and what selects its scenarios. */
const suites: Record<string, string[]> = {
  '2025-11-25': ['@modelcontextprotocol/conformance@0.1.16', '--suite', 'active'],
  // The set that the revision requires, and the scenarios of its extensions.
  '2026-07-28': ['@modelcontextprotocol/conformance@0.2.0-alpha.12', '--requirements', '2026-07-28'],
};

/**
 * Returns the exit code.
 *
 * @param revisions none: all
 */
export async function runMcpConformance(revisions: readonly string[]): Promise<number> {
  const selected = revisions.length === 0 ? Object.keys(suites) : revisions;
  const unknown = selected.find((revision) => suites[revision] === undefined);
  if (unknown !== undefined)
    throw new Error(`no suite for ${unknown}: use ${Object.keys(suites).join(' or ')}`);
  const cleanup = createCleanup();
  try {
    return await run(selected, cleanup);
  } finally {
    await cleanup.run();
  }
}

async function run(revisions: readonly string[], cleanup: Cleanup): Promise<number> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mcp-conformance-'));
  cleanup.after(() => rmSync(folder, { recursive: true, force: true }));
  const stack = await startStack(cleanup, {
    AGENT_MODULE: path.join(here, 'agent.ts'),
    AGENT_FILE: path.join(here, 'agent.yaml'),
    PUBLIC_URL: 'http://127.0.0.1',
  });
  await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  let code = 0;
  for (const revision of revisions) {
    const results = path.join(folder, revision);
    await runSuite(suites[revision]!, `${stack.apiUrl}/mcp`, results);
    const { report, isExpected } = compareResults(
      results,
      path.join(here, `expected-failures-${revision}.yaml`),
    );
    console.log(`\n${revision}\n\n${report}`);
    if (!isExpected) code = 1;
  }
  return code;
}

/** Runs the suite, which writes the checks of each scenario to a folder. */
async function runSuite(suite: readonly string[], url: string, results: string): Promise<void> {
  const [release = '', ...selection] = suite;
  const args = ['--yes', release, 'server', '--url', url, ...selection, '--output-dir', results];
  const kit = spawn('npx', args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    cwd: path.dirname(results),
    // The suite needs the version of Node that runs this file.
    env: { ...process.env, PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}` },
  });
  // 1: a check failed.
  const [code] = (await once(kit, 'exit')) as [number | null];
  if (code !== 0 && code !== 1) throw new Error(`${release} ended with ${code}`);
}
