/** Converts the token counts of a model call to its usage, priced by the table of the definition. */
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { totalTokens, type ModelUsage } from '#shared/domain/usage.ts';

/**
 * @param counts token counts under the names of Gemini's `usageMetadata`, counts of `toToolCalls`, and the tier of the call, if it
 *   had one
 */
export function toModelUsage(
  counts: JsonObject,
  model: string,
  prices: AgentDefinition['prices'],
): ModelUsage {
  const tokens = toTokenCounts(counts);
  const price = prices[model];
  if (price === undefined) return { model, tokens };
  const { input, cachedInput = input, output, tiers = {}, toolCalls = {} } = price;
  const { tier } = counts;
  const factor = getFactor(tier, tiers);
  const { prompt, cached, tool, thoughts } = tokens;
  const uncached = (prompt - cached + tool) * input + (thoughts + tokens.output) * output;
  // Google prices cached tokens of a batch as those of other calls (docs/batch-api, "Technical details").
  const cachedFactor = tier === 'batch' ? 1 : factor;
  const ofTokens = (factor * uncached + cachedFactor * cached * cachedInput) / 1_000_000;
  const ofTools = Object.entries(toolCalls).map(([tool, each]) => getCount(counts, toToolCalls(tool)) * each);
  return { model, tokens, cost: ofTools.reduce((sum, cost) => sum + cost, ofTokens) };
}

/** The name of the count of the calls of one of Google's own tools. */
export function toToolCalls(tool: string): string {
  return `toolCalls.${tool}`;
}

/** Missing counts are 0. */
function getCount(counts: JsonObject, name: string): number {
  return typeof counts[name] === 'number' ? counts[name] : 0;
}

/** Google documents half the price for the batches of all models (docs/batch-api). */
const defaultBatchFactor = 0.5;

function getFactor(tier: Json | undefined, tiers: Tiers): number {
  if (tier === 'batch') return tiers.batch ?? defaultBatchFactor;
  return tier === 'flex' || tier === 'priority' || tier === 'deferred' ? (tiers[tier] ?? 1) : 1;
}

type Tiers = NonNullable<AgentDefinition['prices'][string]['tiers']>;

/** @param counts token counts under the names of Gemini's `usageMetadata`; missing counts are 0 */
export function toTokenCounts(counts: JsonObject): ModelUsage['tokens'] {
  const count = (name: string): number => getCount(counts, name);
  return {
    prompt: count('promptTokenCount'),
    cached: count('cachedContentTokenCount'),
    tool: count('toolUsePromptTokenCount'),
    thoughts: count('thoughtsTokenCount'),
    output: count('candidatesTokenCount'),
  };
}

/** Adds the token counts of two calls. Other fields are those of the second. */
export function addCounts(first: JsonObject, second: JsonObject): JsonObject {
  const sum: JsonObject = { ...first, ...second };
  for (const [name, count] of Object.entries(first)) {
    const other = second[name];
    if (typeof count === 'number' && typeof other === 'number') sum[name] = count + other;
  }
  return sum;
}

export function hasTokens(counts: JsonObject): boolean {
  return totalTokens(toTokenCounts(counts)) > 0;
}
