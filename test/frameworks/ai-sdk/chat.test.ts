/** The transport for `useChat`, with real workers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ai from 'ai';
import { ChatTransport, type ChatMessage } from 'longhaul/ai-sdk/chat';
import { startRig } from '../support/kill-workers.ts';
import { story } from './agents/story.ts';
import { major } from './version.ts';

const createMessage = (text: string): ChatMessage => ({
  id: crypto.randomUUID(),
  role: 'user',
  parts: [{ type: 'text', text }],
});

/** Reads a stream as `useChat` does. */
async function readMessage(stream: ReadableStream, message?: ai.UIMessage): Promise<ai.UIMessage> {
  let shown = message;
  for await (const state of ai.readUIMessageStream({ stream, ...(message && { message }) })) shown = state;
  assert.ok(shown);
  return shown;
}

test('useChat shows an approval, and continues with its answer', { skip: major < 7 }, async (t) => {
  const { stack, openGate } = await startRig(t, 'ai-sdk/agents/trip.ts');
  openGate();
  await stack.start('worker');
  const transport = new ChatTransport({ url: stack.apiUrl });
  const chatId = crypto.randomUUID();
  const message = createMessage('Refund my order.');
  const send = (last: ChatMessage) =>
    transport.sendMessages({ chatId, messages: [message, last], abortSignal: undefined });
  const asking = await readMessage(await send(message));
  const part = asking.parts.find(({ type }) => type === 'tool-refund') as ai.ToolUIPart;
  assert.equal(part.state, 'approval-requested');
  assert.deepEqual(part.input, { order: 7 });
  const texts = asking.parts
    .filter(({ type }) => type === 'text')
    .map((each) => (each as { text: string }).text);
  assert.deepEqual(texts, ['Let me look.', 'Your order is late.']);
  const approved = { ...part, state: 'approval-responded', approval: { ...part.approval, approved: true } };
  const answered = {
    ...asking,
    parts: asking.parts.map((each) => (each === part ? approved : each)),
  } as ai.UIMessage;
  const done = await readMessage(await send(answered as ChatMessage), answered);
  const last = done.parts.filter(({ type }) => type === 'text').at(-1) as { text: string };
  assert.equal(last.text, 'Order 7 is refunded, and it snows in Oslo.');
  assert.equal(await transport.reconnectToStream({ chatId }), null);
  await assert.rejects(send(answered as ChatMessage), /nothing to send/);
});

test(
  'useChat shows the whole answer after a reload and a kill in mid-stream',
  { skip: major < 7 },
  async (t) => {
    const { stack } = await startRig(t, 'ai-sdk/agents/story.ts');
    const transport = new ChatTransport({ url: stack.apiUrl });
    const chatId = crypto.randomUUID();
    const message = createMessage('A story!');
    const first = await stack.start('worker', { FAULT_POINT: 'chunk-stored:2' });
    const stream = await transport.sendMessages({ chatId, messages: [message], abortSignal: undefined });
    const reader = stream.getReader();
    for (let chunk; (chunk = await reader.read()).value?.type !== 'text-delta';) assert.ok(!chunk.done);
    // The browser is reloaded.
    await reader.cancel();
    const resumed = await transport.reconnectToStream({ chatId });
    await first.running.exited;
    await stack.endLeases('worker');
    await stack.start('worker');
    assert.ok(resumed);
    const shown = await readMessage(resumed);
    const texts = shown.parts.filter((part) => part.type === 'text').map(({ text }) => text);
    assert.deepEqual(texts, [story]);
    assert.equal(await transport.reconnectToStream({ chatId }), null, 'no task runs');
  },
);
