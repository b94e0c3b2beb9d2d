/** Two agents in sequence, the second of which streams forty words. Calls are written to TEST_CALLS. */
import { appendFileSync } from 'node:fs';
import { LlmAgent, SequentialAgent } from '@google/adk';
import { createAdkAgent } from 'longhaul/adk';
import { ScriptedLlm } from '../scripted-llm.ts';

export const title = 'A story.';
export const story = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');
const callsFile = process.env['TEST_CALLS'] ?? '';

function createTeller(name: string, text: string): LlmAgent {
  const onCall = (): void => appendFileSync(callsFile, `${name}\n`);
  return new LlmAgent({ name, model: new ScriptedLlm({ reply: () => ({ text }), onCall, wordMs: 15 }) });
}

const root = new SequentialAgent({
  name: 'teller',
  subAgents: [createTeller('title', title), createTeller('story', story)],
});

export default createAdkAgent(root, { definition: { name: 'Story', description: 'Tells a story.' } });
