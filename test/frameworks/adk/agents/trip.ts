/**
 * An agent with three tools: `reports` is a workflow of two agents that ask for the weather side by side, `time`, and `refund`,
 * which needs approval. Seven calls of models. Each call is written to the file TEST_CALLS. The agent in Rome gets its
 * answers once the file TEST_GATE exists.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { FunctionTool, JoinNode, LlmAgent, Workflow } from '@google/adk';
import { createAdkAgent } from 'longhaul/adk';
import { z } from 'zod/v4';
import { waitFor } from '../../../support/wait-for.ts';
import { ScriptedLlm, type Reply } from '../scripted-llm.ts';

const callsFile = process.env['TEST_CALLS'] ?? '';
const gateFile = process.env['TEST_GATE'] ?? '';
const log = (call: string): void => appendFileSync(callsFile, `${call}\n`);

const weather = new FunctionTool({
  name: 'weather',
  description: 'Returns the weather.',
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    log(`weather ${city}`);
    return { city, sky: 'sun' };
  },
});

const time = new FunctionTool({
  name: 'time',
  description: 'Returns the time.',
  parameters: z.object({}),
  execute: async () => {
    log('time');
    return { time: 'noon' };
  },
});

const refund = new FunctionTool({
  name: 'refund',
  description: 'Refunds an order.',
  parameters: z.object({ order: z.number() }),
  requireConfirmation: true,
  execute: async ({ order }) => {
    log(`refund ${order}`);
    return { refunded: order };
  },
});

function createModel(name: string, replies: readonly Reply[]): ScriptedLlm {
  return new ScriptedLlm({
    reply: (earlier) => replies[earlier] ?? {},
    onCall: async (earlier) => {
      if (name === 'rome') await waitFor('the gate', () => existsSync(gateFile), { everyMs: 20 });
      log(`${name} ${earlier}`);
    },
  });
}

function createReporter(name: string, city: string): LlmAgent {
  return new LlmAgent({
    name,
    model: createModel(name, [
      { calls: [{ name: 'weather', args: { city } }] },
      { text: `It is sunny in ${city}.` },
    ]),
    tools: [weather],
  });
}

const join = new JoinNode({ name: 'join' });
const reports = new Workflow({
  name: 'reports',
  description: 'Returns the weather of all cities.',
  inputSchema: z.object({ request: z.string() }),
  edges: [
    ['START', createReporter('paris', 'Paris'), join],
    ['START', createReporter('rome', 'Rome'), join],
  ],
});

const root = new LlmAgent({
  name: 'trip',
  model: createModel('trip', [
    {
      text: 'Let me look.',
      calls: [
        { name: 'reports', args: { request: 'now' } },
        { name: 'time', args: {} },
      ],
    },
    { text: 'Your order is late.', calls: [{ name: 'refund', args: { order: 7 } }] },
    { text: 'Order 7 is refunded.' },
  ]),
  tools: [reports, time, refund],
});

export default createAdkAgent(root, {
  definition: { name: 'Trip', description: 'Plans trips.', prices: { scripted: { input: 1, output: 2 } } },
});
