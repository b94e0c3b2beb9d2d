/**
 * Trims the conversation before a turn to `history.maxTokens` of the definition. Drops whole exchanges,
 * oldest first, so that every function call keeps its response. Pure.
 */
import type { Content } from '@google/genai';
import { estimateTokens } from '../model/tokens.ts';

/**
 * @param pending whether the last exchange waits for its user, which keeps it regardless of its size
 * @returns the newest exchanges that fit
 */
export function trimHistory(contents: readonly Content[], maxTokens: number, pending: boolean): Content[] {
  const starts = contents.flatMap((content, index) => (startsExchange(content) ? [index] : []));
  let from = pending ? (starts.pop() ?? 0) : contents.length;
  let tokens = estimateContents(contents.slice(from));
  for (const start of starts.reverse()) {
    tokens += estimateContents(contents.slice(start, from));
    if (tokens > maxTokens) break;
    from = start;
  }
  return contents.slice(from);
}

function startsExchange({ role, parts = [] }: Content): boolean {
  return role === 'user' && !parts.some(({ functionResponse }) => functionResponse !== undefined);
}

function estimateContents(contents: readonly Content[]): number {
  return contents.reduce((sum, { parts = [] }) => sum + estimateTokens(parts), 0);
}
