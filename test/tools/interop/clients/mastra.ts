/** The remote agent of Mastra. */
import assert from 'node:assert/strict';
import type { InteropClient, Rig } from '../client.ts';

const connect = ({ load, url }: Rig) =>
  new (load('@mastra/core/a2a').A2AAgent)({ url: `${url}/.well-known/agent-card.json` });

export const mastra: InteropClient = {
  binding: 'JSON-RPC',
  checks: {
    send: async (rig) => {
      assert.match((await connect(rig).generate('say hello')).text, /hello/);
    },
    stream: async (rig) => {
      const { fullStream } = await connect(rig).stream('say hello');
      const chunks: unknown[] = [];
      for await (const chunk of fullStream) chunks.push(chunk);
      assert.match(JSON.stringify(chunks), /hello/);
    },
    question: async (rig) => {
      const agent = connect(rig);
      const asked = await agent.generate('ask what?');
      assert.equal(asked.finishReason, 'suspended');
      const { runId } = asked;
      assert.match((await agent.resumeGenerate('say this', { runId })).text, /this/);
    },
  },
};
