/** An agent that streams forty words, each of which waits for the one before to be sent. Calls are written to TEST_CALLS. */
import { appendFileSync } from 'node:fs';
import * as ai from 'ai';
import { defineAgent, type Agent } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { createModel, type ScriptedModelOptions } from '../scripted-model.ts';

export const story = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');
const callsFile = process.env['TEST_CALLS'] ?? '';

export function createStoryAgent(options: Pick<ScriptedModelOptions, 'onWord'> = {}): Agent {
  return defineAgent({
    definition: { name: 'Story', description: 'Tells a story.' },
    run: (turn) => {
      const { model, run } = durable(turn);
      const scripted = createModel({
        reply: () => ({ text: story }),
        onCall: () => appendFileSync(callsFile, 'model\n'),
        wordMs: 15,
        ...options,
      });
      return run(({ messages, abortSignal }) =>
        ai.streamText({ model: model(scripted), messages, abortSignal }),
      );
    },
  });
}

export default createStoryAgent();
