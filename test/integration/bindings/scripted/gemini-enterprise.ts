/**
 * A client as Gemini Enterprise is described (docs/operate/gemini-enterprise.md): it has the card that was registered, knows the
 * address of the service, and streams with A2A 0.3 without naming a version.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { isEventStream, readSse } from '../../../support/clients/sse.ts';
import { stack } from './stack.ts';

interface Event {
  kind: string;
  final?: boolean;
  contextId: string;
  taskId?: string;
  id?: string;
  status?: { state: string };
}

/** Posts to the root, and returns the events of the stream, to its end. */
async function stream(text: string, more: object = {}): Promise<Event[]> {
  const message = {
    kind: 'message',
    messageId: randomUUID(),
    role: 'user',
    parts: [{ kind: 'text', text }],
    ...more,
  };
  const response = await fetch(`${stack.apiUrl}/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 'one', method: 'message/stream', params: { message } }),
  });
  assert.ok(isEventStream(response), await response.clone().text());
  const events: Event[] = [];
  for await (const { data } of readSse(response)) {
    const { id, result } = data as { id: string; result: Event };
    assert.equal(id, 'one');
    events.push(result);
  }
  return events;
}

describe('a client like Gemini Enterprise', () => {
  test('reads the card at the address of the service, with what a registration needs', async () => {
    const response = await fetch(stack.apiUrl, { headers: { accept: '*/*' } });
    assert.equal(response.status, 200);
    const card = (await response.json()) as Record<string, never> & { skills: { tags: string[] }[] };
    const wellKnown = await fetch(`${stack.apiUrl}/.well-known/agent-card.json`);
    assert.deepEqual(card, await wellKnown.json());
    for (const name of ['protocolVersion', 'name', 'description', 'url', 'version', 'capabilities']) {
      assert.ok(card[name] !== undefined, name);
    }
    assert.match(String(card['protocolVersion']), /^0\.3/);
    assert.equal(card['preferredTransport'], 'JSONRPC');
    for (const { tags } of card.skills) assert.ok(tags.length > 0, 'a skill has tags');
    const head = await fetch(stack.apiUrl, { method: 'HEAD' });
    assert.equal(head.status, 200);
  });

  test('gets a stream whose last event, and no other, is final', async () => {
    const events = await stream('say hi');
    assert.equal(events[0]?.kind, 'task');
    assert.deepEqual(
      events.filter(({ final }) => final === true),
      [events.at(-1)],
    );
    assert.deepEqual([events.at(-1)?.kind, events.at(-1)?.status?.state], ['status-update', 'completed']);
  });

  test('answers a question in the same task', async () => {
    const asked = (await stream('ask which city?')).at(-1)!;
    assert.deepEqual([asked.status?.state, asked.final], ['input-required', true]);
    const { taskId, contextId } = asked;
    const answered = await stream('say hi', { taskId, contextId });
    assert.equal(answered.at(-1)?.status?.state, 'completed');
    assert.ok(answered.every((event) => (event.taskId ?? event.id) === taskId));
  });

  test('gets errors as JSON-RPC, at the root too', async () => {
    const response = await fetch(stack.apiUrl, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tasks/get', params: { id: randomUUID() } }),
    });
    assert.equal(((await response.json()) as { error: { code: number } }).error.code, -32_001);
  });
});
