/** Reads the tokens of a call, which the versions of the AI SDK name differently. */
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { toModelUsage } from '#services/worker/agent/gemini/model/cost.ts';

/** Specification version 2 counts flat, versions 3 and 4 by kind. */
export type SdkUsage = {
  inputTokens?: number | { total?: number; cacheRead?: number };
  outputTokens?: number | { total?: number; reasoning?: number };
  reasoningTokens?: number;
  cachedInputTokens?: number;
  /** The only count of embeddings. */
  tokens?: number;
};

/**
 * @param usage as the model reported it
 * @param model its id, by which the definition has prices
 * @param definition of the task
 */
export function toUsage(usage: SdkUsage | undefined, model: string, definition: JsonObject): ModelUsage {
  const { prices = {} } = definition as { prices?: AgentDefinition['prices'] };
  return toModelUsage(toCounts(usage ?? {}), model, prices);
}

/** Thoughts are counted apart from the other output. */
function toCounts(usage: SdkUsage): JsonObject {
  const { inputTokens = usage.tokens ?? 0, outputTokens = 0 } = usage;
  const prompt = typeof inputTokens === 'number' ? inputTokens : (inputTokens.total ?? 0);
  const cached =
    typeof inputTokens === 'number' ? (usage.cachedInputTokens ?? 0) : (inputTokens.cacheRead ?? 0);
  const output = typeof outputTokens === 'number' ? outputTokens : (outputTokens.total ?? 0);
  const thoughts =
    typeof outputTokens === 'number' ? (usage.reasoningTokens ?? 0) : (outputTokens.reasoning ?? 0);
  return {
    promptTokenCount: prompt,
    cachedContentTokenCount: Math.min(cached, prompt),
    thoughtsTokenCount: Math.min(thoughts, output),
    candidatesTokenCount: Math.max(0, output - thoughts),
  };
}
