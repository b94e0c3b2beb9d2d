/** The models, tools and agents of the AI SDK fit the types that the adapter writes out. */
import { embed, generateText, streamText, tool, type ToolSet } from 'ai';
import type { Turn } from 'longhaul/agent';
import { durable } from 'longhaul/ai-sdk';
import { z } from 'zod';

type LanguageModel = Exclude<Parameters<typeof generateText>[0]['model'], string>;
type EmbeddingModel = Exclude<Parameters<typeof embed>[0]['model'], string>;

/** Is compiled only. */
export async function compile(turn: Turn, language: LanguageModel, embedding: EmbeddingModel): Promise<void> {
  const { model, embeddingModel, tools, run } = durable(turn);
  const weather = tool({
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `sunny in ${city}`,
  });
  const durableTools = tools({ weather, question: tool({ inputSchema: z.object({}) }) }) satisfies ToolSet;
  await generateText({ model: model(language), tools: durableTools, prompt: 'hello' });
  await embed({ model: embeddingModel(embedding), value: 'hello' });
  await run(({ messages }) => streamText({ model: model(language), tools: durableTools, messages }));
  await run(({ messages }) => generateText({ model: model(language), tools: durableTools, messages }));
}
