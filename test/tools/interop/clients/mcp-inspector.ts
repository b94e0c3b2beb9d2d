/**
 * The command line of the MCP Inspector, in both of its eras: each call is a process that connects, calls and prints. In the
 * modern one it declares the Tasks extension, and polls until the task of a call has ended.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '../../../support/wait-for.ts';
import type { Check, InteropClient, Rig } from '../client.ts';
import type { AnyJson as Json } from '../../../support/clients/any-json.ts';

const eras = ['legacy', 'modern'] as const;
type Era = (typeof eras)[number];
/** Runs a command of the Inspector and returns the JSON that it prints. */
async function inspect({ url, folder }: Rig, era: Era, method: string, ...options: string[]): Promise<Json> {
  const config = join(mkdtempSync(join(tmpdir(), 'inspector-')), 'mcp.json');
  // The command line declares forms by default, and waits for ever for the answer to one.
  const it = { type: 'streamable-http', url: `${url}/mcp`, protocolEra: era, elicitCapability: 'off' };
  writeFileSync(config, JSON.stringify({ mcpServers: { it } }));
  const program = join(folder, 'node_modules/.bin/mcp-inspector');
  const args = ['--cli', '--config', config, '--server', 'it', '--format', 'json', '--quiet'];
  try {
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, [program, ...args, '--method', method, ...options]);
    const printed = JSON.parse(stdout);
    return printed.result ?? printed;
  } finally {
    rmSync(dirname(config), { recursive: true });
  }
}

async function callTool(rig: Rig, era: Era, name: string, args: object): Promise<Json> {
  const options = ['--tool-name', name, '--tool-args-json', JSON.stringify(args)];
  return (await inspect(rig, era, 'tools/call', ...options)).structuredContent;
}

async function callSkill(rig: Rig, era: Era, text: string): Promise<Json> {
  const { tools } = await inspect(rig, era, 'tools/list');
  const names: string[] = tools.map(({ name }: { name: string }) => name);
  assert.ok(names.includes('answer_task'), names.join());
  return callTool(rig, era, names[0] ?? '', { text });
}

/** Calls the skill, and returns the task once it asks, with the result of the call. */
async function ask(
  rig: Rig,
  era: Era,
  text: string,
  state: string,
): Promise<{ taskId: string; ended: Json }> {
  const ended = callSkill(rig, era, text);
  if (era === 'legacy') return { taskId: (await ended).taskId, ended };
  const taskId = await waitFor('the task', async () => {
    const { tasks } = await callTool(rig, era, 'list_tasks', { state });
    return tasks[0]?.taskId as string | undefined;
  });
  return { taskId, ended };
}

const checks = eras.flatMap((era): [string, Check][] => [
  [
    `call, ${era}`,
    async (rig) => {
      const { state, text } = await callSkill(rig, era, 'say hello');
      assert.deepEqual([state, text], ['completed', 'hello']);
    },
  ],
  [
    `question, ${era}`,
    async (rig) => {
      const { taskId, ended } = await ask(rig, era, 'ask which one?', 'input-required');
      await callTool(rig, era, 'answer_task', { taskId, text: 'say this one' });
      const { text } = await callTool(rig, era, 'get_task', { taskId, waitSeconds: 20 });
      assert.match(text, /this one/);
      if (era === 'modern') assert.equal((await ended).text, text);
    },
  ],
  [
    `cancel, ${era}`,
    async (rig) => {
      const { taskId, ended } = await ask(rig, era, 'auth sign in', 'auth-required');
      const { state } = await callTool(rig, era, 'cancel_task', { taskId });
      assert.equal(state, 'canceled');
      // In the modern era the call has no result.
      await ended.catch(() => undefined);
    },
  ],
]);

export const mcpInspector: InteropClient = { binding: 'MCP', checks: Object.fromEntries(checks) };
