/** The client of the Gemini CLI for remote agents. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { InteropClient, Rig } from '../client.ts';
import type { AnyJson } from '../../../support/clients/any-json.ts';

async function connect({ load, url }: Rig) {
  const { A2AClientManager } = load('@google/gemini-cli-core/dist/src/agents/a2a-client-manager.js');
  const manager = new A2AClientManager({ getProxy: () => undefined });
  await manager.loadAgent('remote', { type: 'url', url: `${url}/.well-known/agent-card.json` });
  const send = async (text: string, ids: object = {}): Promise<AnyJson[]> => {
    const events: unknown[] = [];
    for await (const event of manager.sendMessageStream('remote', text, ids)) events.push(event);
    return events;
  };
  return { manager, send };
}

export const geminiCli: InteropClient = {
  binding: 'JSON-RPC',
  checks: {
    stream: async (rig) => {
      const { manager, send } = await connect(rig);
      const events = await send('say hello');
      assert.equal(events.find(({ kind }) => kind === 'artifact-update').artifact.parts[0].text, 'hello');
      const task = await manager.getTask('remote', events[0].id);
      assert.equal(task.status.state, 'completed');
    },
    question: async (rig) => {
      const { send } = await connect(rig);
      const question = (await send('ask what?')).at(-1);
      assert.deepEqual([question.status.state, question.final], ['input-required', true]);
      const { taskId, contextId } = question;
      assert.equal((await send('say this', { taskId, contextId })).at(-1).taskId, taskId);
    },
    cancel: async (rig) => {
      const { manager } = await connect(rig);
      for await (const event of manager.sendMessageStream('remote', 'wait 60000')) {
        if (event.kind !== 'task') continue;
        assert.equal((await manager.cancelTask('remote', event.id)).status.state, 'canceled');
      }
    },
    error: async (rig) => {
      const { send } = await connect(rig);
      await assert.rejects(send('x', { taskId: randomUUID() }), /was not found/);
    },
  },
};
