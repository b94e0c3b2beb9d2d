/** What a call of the model took, by its own counts and the definition's price table. */
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';

export interface Spent {
  tokens: number;
  /** In the currency of the price table; undefined where it has no price for the model. */
  cost?: number;
}

/** @param usage by the names of Gemini's `usageMetadata` */
export function spentIn(usage: JsonObject, model: string, prices: AgentDefinition['prices']): Spent {
  const count = (name: string) => (typeof usage[name] === 'number' ? usage[name] : 0);
  const prompt = count('promptTokenCount') + count('toolUsePromptTokenCount');
  const cached = count('cachedContentTokenCount');
  const output = count('candidatesTokenCount') + count('thoughtsTokenCount');
  const price = prices[model];
  if (price === undefined) return { tokens: prompt + output };
  const { input, cachedInput = input, output: outputPrice } = price;
  const millionths = (prompt - cached) * input + cached * cachedInput + output * outputPrice;
  return { tokens: prompt + output, cost: millionths / 1_000_000 };
}
