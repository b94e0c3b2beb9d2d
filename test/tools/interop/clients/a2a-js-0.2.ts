/** The SDK of A2A 0.2 in JavaScript. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { InteropClient, Rig } from '../client.ts';

const connect = ({ load, url }: Rig) => new (load('a2a-js-0.2/client').A2AClient)(url);

function send(text: string, more: object = {}): object {
  return {
    message: {
      kind: 'message',
      messageId: randomUUID(),
      role: 'user',
      parts: [{ kind: 'text', text }],
      ...more,
    },
  };
}

export const a2aJs02: InteropClient = {
  binding: 'JSON-RPC',
  checks: {
    send: async (rig) => {
      const { result } = await connect(rig).sendMessage(send('say hello'));
      assert.equal(result.artifacts[0].parts[0].text, 'hello');
    },
    stream: async (rig) => {
      const kinds: string[] = [];
      for await (const event of connect(rig).sendMessageStream(send('say hello'))) kinds.push(event.kind);
      assert.deepEqual(kinds, ['task', 'status-update', 'artifact-update', 'status-update']);
    },
    question: async (rig) => {
      const client = connect(rig);
      const asked = (await client.sendMessage(send('ask what?'))).result;
      assert.equal(asked.status.state, 'input-required');
      const more = { taskId: asked.id, contextId: asked.contextId };
      assert.equal((await client.sendMessage(send('say this', more))).result.id, asked.id);
    },
    cancel: async (rig) => {
      const client = connect(rig);
      const configuration = { blocking: false };
      const { result } = await client.sendMessage({ ...send('wait 60000'), configuration });
      assert.equal((await client.cancelTask({ id: result.id })).result.status.state, 'canceled');
    },
    error: async (rig) => {
      const refused = connect(rig).sendMessageStream(send('x', { taskId: randomUUID() }));
      await assert.rejects(async () => {
        for await (const _event of refused);
      }, /was not found/);
    },
  },
};
