/** What calls of models took: for one step, a whole task, or an owner's day. Pure. */
import type { JsonObject } from './message.ts';

/** Under this URI a task's metadata, and that of the event which ends a turn, tells it: docs/extensions/usage.md. */
export const usageExtension = 'https://longhaul.dev/ext/usage/v1';

export interface Tokens {
  /** In, `cached` of them from the model's cache; what Gemini's own tools read for the model counts apart, as `tool`. */
  prompt: number;
  cached: number;
  tool: number;
  /** Out; what the model thought counts apart. */
  thoughts: number;
  output: number;
}

/** Of one call. */
export interface ModelUsage {
  /** As its prices and quotas name it. */
  model: string;
  tokens: Tokens;
  /** In the currency of the price table; left out where that has no price for the model. */
  cost?: number;
}

/** Of many calls. */
export interface Usage {
  calls: number;
  tokens: Tokens;
  /** Of the calls that had a price. */
  cost: number;
  /** Calls of a model without a price. */
  unpriced: number;
}

export const noUsage: Usage = {
  calls: 0,
  tokens: { prompt: 0, cached: 0, tool: 0, thoughts: 0, output: 0 },
  cost: 0,
  unpriced: 0,
};

export function addUsage(to: Usage, { tokens, cost }: ModelUsage): Usage {
  return {
    calls: to.calls + 1,
    tokens: {
      prompt: to.tokens.prompt + tokens.prompt,
      cached: to.tokens.cached + tokens.cached,
      tool: to.tokens.tool + tokens.tool,
      thoughts: to.tokens.thoughts + tokens.thoughts,
      output: to.tokens.output + tokens.output,
    },
    cost: to.cost + (cost ?? 0),
    unpriced: to.unpriced + (cost === undefined ? 1 : 0),
  };
}

/** As clients read it, in the metadata of a task or of the event that ends a turn. */
export function usageMetadata({ tokens, ...usage }: Usage): JsonObject {
  return { [usageExtension]: { ...usage, tokens: { ...tokens } } };
}

/** In and out of the model; cached ones are among those of the prompt. */
export function totalTokens({ prompt, tool, thoughts, output }: Tokens): number {
  return prompt + tool + thoughts + output;
}
