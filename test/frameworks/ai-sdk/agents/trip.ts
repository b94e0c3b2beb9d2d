/**
 * An agent with five calls of the model and three tools: `weather` is called twice in parallel, `time`, and `refund`, which
 * needs approval. Each call is written to the file TEST_CALLS. The weather in Rome is known once the file TEST_GATE exists.
 */
import { appendFileSync, existsSync } from 'node:fs';
import * as ai from 'ai';
import { defineAgent } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { z } from 'zod';
import { waitFor } from '../../../support/wait-for.ts';
import { createModel, type Reply } from '../scripted-model.ts';
import { major } from '../version.ts';

const callsFile = process.env['TEST_CALLS'] ?? '';
const gateFile = process.env['TEST_GATE'] ?? '';
const log = (call: string): void => appendFileSync(callsFile, `${call}\n`);
const weather = (id: string, city: string) => ({ id, name: 'weather', input: { city } });

const replies: Reply[] = [
  { text: 'Let me look.', toolCalls: [weather('w1', 'Paris'), weather('w2', 'Rome')] },
  { toolCalls: [{ id: 't1', name: 'time', input: {} }] },
  { text: 'Your order is late.', toolCalls: [{ id: 'r1', name: 'refund', input: { order: 7 } }] },
  { toolCalls: [weather('w3', 'Oslo')] },
  { text: 'Order 7 is refunded, and it snows in Oslo.' },
];

export default defineAgent({
  definition: { name: 'Trip', description: 'Plans trips.', prices: { scripted: { input: 1, output: 2 } } },
  run: (turn) => {
    const { model, tools, run } = durable(turn);
    const settings = {
      model: model(createModel({ reply: (n) => replies[n]!, onCall: (n) => log(`model ${n}`) })),
      tools: tools({
        weather: ai.tool({
          inputSchema: z.object({ city: z.string() }),
          execute: async ({ city }) => {
            if (city === 'Rome') await waitFor('the gate', () => existsSync(gateFile), { everyMs: 20 });
            log(`weather ${city}`);
            return { city, sky: city === 'Oslo' ? 'snow' : 'sun' };
          },
        }),
        time: ai.tool({
          inputSchema: z.object({}),
          execute: async () => {
            log('time');
            return { time: 'noon' };
          },
        }),
        refund: ai.tool({
          inputSchema: z.object({ order: z.number() }),
          ...(major === 6 && { needsApproval: true }),
          execute: async ({ order }) => {
            log(`refund ${order}`);
            return { refunded: order };
          },
        }),
      }),
      ...(major >= 7 && { toolApproval: { refund: 'user-approval' as const } }),
    };
    return run(new ai.ToolLoopAgent(settings));
  },
});
