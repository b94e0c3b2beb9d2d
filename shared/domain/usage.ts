/** Model usage of one step, of a whole task, or of an owner's day. Pure. */
import type { JsonObject } from './message.ts';

/**
 * The key of the usage in the metadata of a task and of the event that ends a turn; see
 * docs/extensions/usage.md.
 */
export const usageExtension = 'https://longhaul.dev/ext/usage/v1';

export interface Tokens {
  /**
   * Input, including `cached` tokens from the model's cache. Input from Gemini's own tools is separate, as
   * `tool`.
   */
  prompt: number;
  cached: number;
  tool: number;
  /** Output. The model's thoughts are separate. */
  thoughts: number;
  output: number;
}

/** The usage of one call. */
export interface ModelUsage {
  /** The name under which prices and quotas are defined. */
  model: string;
  tokens: Tokens;
  /** In the currency of the price table; absent if the table has no price for the model. */
  cost?: number;
}

/** The sum of many calls. */
export interface Usage {
  calls: number;
  tokens: Tokens;
  /** The cost of the calls that had a price. */
  cost: number;
  /** The number of calls without a price. */
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

export function sumUsage(a: Usage, b: Usage): Usage {
  return {
    calls: a.calls + b.calls,
    tokens: {
      prompt: a.tokens.prompt + b.tokens.prompt,
      cached: a.tokens.cached + b.tokens.cached,
      tool: a.tokens.tool + b.tokens.tool,
      thoughts: a.tokens.thoughts + b.tokens.thoughts,
      output: a.tokens.output + b.tokens.output,
    },
    cost: a.cost + b.cost,
    unpriced: a.unpriced + b.unpriced,
  };
}

/** Returns the metadata for clients, of a task or of the event that ends a turn. */
export function usageMetadata({ tokens, ...usage }: Usage): JsonObject {
  return { [usageExtension]: { ...usage, tokens: { ...tokens } } };
}

/** Returns input plus output. Cached tokens are part of the prompt. */
export function totalTokens({ prompt, tool, thoughts, output }: Tokens): number {
  return prompt + tool + thoughts + output;
}
