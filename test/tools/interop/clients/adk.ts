/** The Agent Development Kit of Google: a remote agent in a session of its runner. */
import assert from 'node:assert/strict';
import type { InteropClient, Rig } from '../client.ts';
import type { AnyJson as Event } from '../../../support/clients/any-json.ts';

async function createSession({ load, url }: Rig) {
  const { InMemorySessionService, RemoteA2AAgent, Runner } = load('@google/adk');
  const agent = new RemoteA2AAgent({ name: 'remote', agentCard: url });
  const sessionService = new InMemorySessionService();
  const runner = new Runner({ appName: 'interop', agent, sessionService });
  const { id: sessionId } = await sessionService.createSession({ appName: 'interop', userId: 'u' });
  return async (text: string): Promise<Event[]> => {
    const events: Event[] = [];
    const newMessage = { role: 'user', parts: [{ text }] };
    for await (const event of runner.runAsync({ userId: 'u', sessionId, newMessage })) events.push(event);
    return events;
  };
}

const textsOf = (events: Event[]): string[] =>
  events.flatMap((event) => event.content?.parts ?? []).map((part) => part.text);

export const adk: InteropClient = {
  binding: 'JSON-RPC',
  checks: {
    stream: async (rig) => {
      const send = await createSession(rig);
      assert.ok(textsOf(await send('say hello')).includes('hello'));
    },
    question: async (rig) => {
      const send = await createSession(rig);
      const asked = await send('ask what?');
      const question = asked.at(-1);
      assert.deepEqual(textsOf([question]), ['what?']);
      assert.deepEqual([question.turnComplete, question.partial ?? false], [true, false]);
      const answered = await send('say this');
      assert.ok(textsOf(answered).includes('this'));
    },
    error: async (rig) => {
      const send = await createSession(rig);
      const events = await send('fail because');
      assert.match(String(events.at(-1).errorMessage), /because/);
    },
  },
};
