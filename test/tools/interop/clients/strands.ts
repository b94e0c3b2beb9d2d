/** The remote agent of Strands. */
import assert from 'node:assert/strict';
import type { InteropClient, Rig } from '../client.ts';

const connect = ({ load, url }: Rig) => new (load('@strands-agents/sdk/a2a').A2AAgent)({ url });

export const strands: InteropClient = {
  binding: 'JSON-RPC',
  checks: {
    stream: async (rig) => {
      assert.match(String(await connect(rig).invoke('say hello')), /hello/);
    },
    question: async (rig) => {
      const kinds: string[] = [];
      const events = connect(rig).stream('ask what?');
      for await (const { event } of events) kinds.push(event?.kind);
      assert.ok(kinds.includes('status-update'));
    },
  },
};
