/** An agent of Mastra as a durable task (docs/frameworks/mastra.md): it takes models and tools of the AI SDK. */
import { Agent as MastraAgent } from '@mastra/core/agent';
import { tool, type LanguageModel } from 'ai';
import { defineAgent, textOf, type Agent } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { z } from 'zod';

/** @param language a model of the AI SDK, such as `google('gemini-3-pro')` */
export function createWeatherAgent(language: Exclude<LanguageModel, string>): Agent {
  return defineAgent({
    definition: { name: 'Weather', description: 'Answers questions about the weather.' },
    run: async (turn) => {
      const { model, tools } = durable(turn);
      const agent = new MastraAgent({
        id: 'weather',
        name: 'Weather',
        instructions: 'Answer questions about the weather.',
        model: model(language),
        tools: tools({
          weather: tool({
            description: 'Get the weather in a location',
            inputSchema: z.object({ location: z.string() }),
            execute: async ({ location }) => ({ location, temperature: 21 }),
          }),
        }),
      });
      const { text } = await agent.generate(textOf(turn.message.parts), { abortSignal: turn.signal });
      await turn.artifact({ artifactId: 'answer', parts: [{ text }] });
      return { state: 'TASK_STATE_COMPLETED' };
    },
  });
}
