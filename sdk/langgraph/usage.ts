/** Reads the token counts of LangChain's messages. */
import type { Tokens } from '#shared/domain/usage.ts';

/** Returns undefined if the model has reported no counts. */
export function readUsage(value: unknown): Tokens | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const counts = value as Record<string, unknown>;
  const cached = count(counts['input_token_details'], 'cache_read');
  const thoughts = count(counts['output_token_details'], 'reasoning');
  const output = count(counts, 'output_tokens');
  return {
    prompt: count(counts, 'input_tokens'),
    cached,
    tool: 0,
    thoughts,
    // LangChain counts thoughts as output.
    output: Math.max(0, output - thoughts),
  };
}

function count(counts: unknown, name: string): number {
  const value = (counts as Record<string, unknown> | null | undefined)?.[name];
  return typeof value === 'number' ? value : 0;
}
