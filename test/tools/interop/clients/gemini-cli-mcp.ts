/** The MCP client of the Gemini CLI, with the tools of the agent as its model gets them. */
import assert from 'node:assert/strict';
import type { InteropClient, Rig } from '../client.ts';

const followUps = ['get_task', 'list_tasks', 'answer_task', 'cancel_task'];

async function connect({ load, url }: Rig) {
  const { connectToMcpServer, discoverTools } = load('@google/gemini-cli-core/dist/src/tools/mcp-client.js');
  const context = {
    sanitizationConfig: {},
    emitMcpDiagnostic: () => undefined,
    isTrustedFolder: () => true,
  };
  const workspace = { getDirectories: () => [], onDirectoriesChanged: () => () => undefined };
  const config = { httpUrl: `${url}/mcp`, timeout: 60_000 };
  const client = await connectToMcpServer('1', 'longhaul', config, false, workspace, context);
  const bus = { subscribe: () => undefined, unsubscribe: () => undefined, publish: async () => undefined };
  const tools = await discoverTools('longhaul', config, client, context, bus);
  const names: string[] = tools.map(({ serverToolName }: { serverToolName: string }) => serverToolName);
  /** Returns what the model reads. */
  const run = async (name: string, args: object): Promise<string> => {
    const invocation = tools[names.indexOf(name)].build(args);
    const { llmContent, error } = await invocation.execute({ abortSignal: AbortSignal.timeout(30_000) });
    if (error !== undefined) throw new Error(error.message);
    return llmContent.map(({ text = '' }) => text).join('\n');
  };
  const skill = names.find((name) => !followUps.includes(name)) ?? '';
  return { run, skill, names };
}

function readTaskId(text: string): string {
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(text)?.[0] ?? '';
}

export const geminiCliMcp: InteropClient = {
  binding: 'MCP',
  checks: {
    call: async (rig) => {
      const { run, skill, names } = await connect(rig);
      assert.deepEqual(
        followUps.filter((name) => !names.includes(name)),
        [],
      );
      assert.match(await run(skill, { text: 'say hello' }), /hello/);
    },
    question: async (rig) => {
      const { run, skill } = await connect(rig);
      const asked = await run(skill, { text: 'ask which one?' });
      assert.match(asked, /which one\?/);
      const taskId = readTaskId(asked);
      await run('answer_task', { taskId, text: 'say this one' });
      assert.match(await run('get_task', { taskId, waitSeconds: 20 }), /this one/);
    },
    cancel: async (rig) => {
      const { run, skill } = await connect(rig);
      // Held until the limit of the stack.
      const taskId = readTaskId(await run(skill, { text: 'sleep nap 600' }));
      assert.match(await run('cancel_task', { taskId }), /canceled/);
      assert.match(await run('list_tasks', { state: 'canceled' }), new RegExp(taskId));
    },
  },
};
