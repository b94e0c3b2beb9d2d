/**
 * An agent with five calls of the model and three tools: `weather` is called twice in parallel, `time`, and `refund`, which
 * needs approval. Each call is written to the file TEST_CALLS. The weather in Rome is known once the file TEST_GATE exists.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { createGraphAgent } from 'longhaul/langgraph';
import { waitFor } from '../../../support/wait-for.ts';
import { createToolGraph } from '../graphs.ts';
import { ScriptedModel, type Reply } from '../scripted-model.ts';

const callsFile = process.env['TEST_CALLS'] ?? '';
const gateFile = process.env['TEST_GATE'] ?? '';
const log = (call: string): void => appendFileSync(callsFile, `${call}\n`);
const weather = (id: string, city: string) => ({ id, name: 'weather', args: { city } });

const replies: Reply[] = [
  { text: 'Let me look.', calls: [weather('w1', 'Paris'), weather('w2', 'Rome')] },
  { calls: [{ id: 't1', name: 'time', args: {} }] },
  { text: 'Your order is late.', calls: [{ id: 'r1', name: 'refund', args: { order: 7 } }] },
  { calls: [weather('w3', 'Oslo')] },
  { text: 'Order 7 is refunded, and it snows in Oslo.' },
];

const model = new ScriptedModel({
  reply: (earlier) => replies[earlier] ?? {},
  onCall: (earlier) => log(`model ${earlier}`),
});

const graph = createToolGraph(model, async ({ name, args }) => {
  const { city, order } = args as { city?: string; order?: number };
  if (city === 'Rome') await waitFor('the gate', () => existsSync(gateFile), { everyMs: 20 });
  log([name, city ?? order].filter((part) => part !== undefined).join(' '));
  return JSON.stringify({ done: name });
});

export default createGraphAgent(graph, {
  definition: { name: 'Trip', description: 'Plans trips.', prices: { scripted: { input: 1, output: 2 } } },
});
