/** An agent of Genkit as a durable task (docs/frameworks/genkit.md): a middleware for models, and tools whose work is a step. */
import { z, type genkit } from 'genkit';
import type { ModelMiddleware } from 'genkit/model';
import { defineAgent, textOf, type Agent, type Json, type Turn } from 'longhaul/agent';

const toJson = (value: unknown): Json => JSON.parse(JSON.stringify(value)) as Json;

/** Records each call of a model. Calls are matched by their request, because agents may run side by side. */
function durableModel(turn: Turn, model: string): ModelMiddleware {
  return async (request, next) => {
    const call = async (): Promise<Json> => {
      await turn.checkSpending();
      return toJson(await next(request));
    };
    const recorded = await turn.step('model', call, {
      input: toJson(request),
      matchInput: true,
      usage: (result) => {
        const { inputTokens: prompt = 0, outputTokens: output = 0 } =
          (result as { usage?: { inputTokens?: number; outputTokens?: number } }).usage ?? {};
        return { model, tokens: { prompt, output, cached: 0, tool: 0, thoughts: 0 } };
      },
    });
    return recorded as unknown as Awaited<ReturnType<typeof next>>;
  };
}

/** @param model the name of a model that `ai` has, such as `googleai/gemini-3-pro` */
export function createWeatherAgent(ai: ReturnType<typeof genkit>, model: string): Agent {
  return defineAgent({
    definition: { name: 'Weather', description: 'Answers questions about the weather.' },
    run: async (turn) => {
      const weather = ai.dynamicTool(
        {
          name: 'weather',
          description: 'Get the weather in a location',
          inputSchema: z.object({ location: z.string() }),
        },
        (input) =>
          turn.step('tool:weather', async () => ({ ...input, temperature: 21 }), { input, matchInput: true }),
      );
      const prompt = textOf(turn.message.parts);
      const { text } = await ai.generate({
        model,
        prompt,
        tools: [weather],
        use: [durableModel(turn, model)],
      });
      await turn.artifact({ artifactId: 'answer', parts: [{ text }] });
      return { state: 'TASK_STATE_COMPLETED' };
    },
  });
}
