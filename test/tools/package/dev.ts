/** `longhaul dev`: the first task, a change of the agent, `startStack` in a test, and what is left when npm ends. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '../../support/network/ports.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { Shell } from './shell.ts';

const stackTest = `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStack } from 'longhaul/testing';

test('answers', async (t) => {
  const stack = await startStack({ agent: 'agent.ts' });
  t.after(() => stack.stop());
  const { task } = await stack.client.send('one two');
  const ended = await stack.client.wait(task?.id ?? '');
  assert.equal(ended.status.state, 'TASK_STATE_COMPLETED');
});
`;

/** A coding agent that uses `longhaul mcp`. Its client is a dependency of the package. */
const toolsScript = `import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [url] = process.argv.slice(2);
const client = new Client({ name: 'test', version: '1' });
await client.connect(new StdioClientTransport({ command: 'npx', args: ['longhaul', 'mcp', '--url', url] }));
for (const [name, args] of Object.entries({
  ops_list_tasks: { state: 'completed' },
  ops_search_docs: { query: 'callback' },
  ops_logs: { since: '1h', severity: 'DEBUG', service: 'worker' },
})) {
  const { isError, content } = await client.callTool({ name, arguments: args });
  console.log(name, isError ?? false, content[0].text.slice(0, 80));
}
await client.close();
`;

export async function checkDev(shell: Shell, print: (line: string) => void): Promise<void> {
  const port = await freePort();
  const url = `http://localhost:${port}`;
  writeFileSync(path.join(shell.cwd, 'tools.mjs'), toolsScript);
  const dev = await startDev(shell, port, print);
  const sent = await shell.run('longhaul send, first task', `npx longhaul send --url ${url} "one two three"`);
  assert.match(sent, /3 words: a short message/);

  const tools = await shell.run('longhaul mcp, three tools', `node tools.mjs ${url}`);
  assert.match(
    tools,
    /ops_list_tasks false 1 task\.[^]*docs false Version[^]*ops_logs false [1-9]\d* lines? since/,
  );

  const agent = path.join(shell.cwd, 'agent.ts');
  writeFileSync(agent, readFileSync(agent, 'utf8').replace(' words:', ' changed words:'));
  const [, ms] = await dev.line(/"message":"restarted with the changed agent".*"ms":(\d+)/);
  print(`${(Number(ms) / 1000).toFixed(2).padStart(7)} s  a changed agent runs in a new worker`);
  assert.match(await shell.run('send', `npx longhaul send --url ${url} one`), /1 changed words/);
  dev.child.kill('SIGTERM');
  await waitUntilEmpty(shell, 'SIGTERM', print);

  const killed = await startDev(shell, port, print);
  killed.child.kill('SIGKILL');
  await waitUntilEmpty(shell, 'kill -9', print);

  writeFileSync(path.join(shell.cwd, 'stack.test.ts'), stackTest);
  await shell.run('a test with startStack()', 'node --test stack.test.ts');
  await waitUntilEmpty(shell, 'the end of the test', print);
}

async function startDev(shell: Shell, port: number, print: (line: string) => void) {
  const startedAt = performance.now();
  // bash replaces itself by npx: a signal reaches npm, as in a terminal.
  const child = shell.start(`exec npx longhaul dev --port ${port}`, { NO_COLOR: '1' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += String(data)));
  const line = (pattern: RegExp): Promise<RegExpExecArray> =>
    waitFor(String(pattern), () => pattern.exec(output) ?? undefined, { boundMs: 120_000 });
  await line(/Longhaul is running at/).catch((error: unknown) => {
    throw new Error(`longhaul dev does not start:\n${output}`, { cause: error });
  });
  print(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  longhaul dev is running`);
  assert.ok(!output.includes('\u001b'), 'NO_COLOR');
  return { child, line };
}

async function waitUntilEmpty(shell: Shell, after: string, print: (line: string) => void): Promise<void> {
  const startedAt = performance.now();
  await waitFor(`no process after ${after}`, () => shell.processes().length === 0, { boundMs: 15_000 });
  const seconds = (performance.now() - startedAt) / 1000;
  print(`${seconds.toFixed(1).padStart(7)} s  no process is left after ${after}`);
}
