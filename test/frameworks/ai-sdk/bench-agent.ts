/** Calls a model that answers at once: first bare, then as steps of the turn. Writes the times of both as an artifact. */
import * as ai from 'ai';
import { defineAgent } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { createModel } from './scripted-model.ts';

const calls = 500;

export default defineAgent({
  definition: { name: 'Bench', description: 'Measures calls.', limits: { modelCalls: 10_000 } },
  run: async (turn) => {
    const bare = createModel({ reply: (_, prompt) => ({ text: JSON.stringify(prompt).slice(0, 200) }) });
    const recorded = durable(turn).model(bare);
    const measure = async (model: typeof bare, prefix: string): Promise<number[]> => {
      const times: number[] = [];
      for (let index = 0; index < calls; index += 1) {
        const startedAt = performance.now();
        await ai.generateText({ model, prompt: `${prefix} ${index} ${'word '.repeat(400)}` });
        times.push(performance.now() - startedAt);
      }
      return times;
    };
    await measure(bare, 'warm');
    const data = { bare: await measure(bare, 'bare'), recorded: await measure(recorded, 'recorded') };
    await turn.artifact({ artifactId: 'times', parts: [{ data }] });
    return { state: 'TASK_STATE_COMPLETED' };
  },
});
