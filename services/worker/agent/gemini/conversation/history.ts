/**
 * How much of what was said before goes to the model: as much as `history.maxTokens` of the definition allows, the oldest
 * dropped first, by whole exchanges, so that a call never stands without its answer. Pure.
 */
import type { Content, Part } from '@google/genai';

/** As Google's documentation estimates for English. */
const charsPerToken = 4;
/** Of an image in Gemini 3 at its default resolution; before it was 258. */
const tokensPerImage = 1120;
/** PDF, audio, video: of the order of what their pages and seconds count. */
const bytesPerToken = 100;

/**
 * @param open the last exchange waits for its user, and stays whatever its size
 * @returns the newest exchanges that fit
 */
export function newestWithin(contents: readonly Content[], maxTokens: number, open: boolean): Content[] {
  const starts = contents.flatMap((content, index) => (beginsExchange(content) ? [index] : []));
  let from = open ? (starts.pop() ?? 0) : contents.length;
  let tokens = tokensOf(contents.slice(from));
  for (const start of starts.reverse()) {
    tokens += tokensOf(contents.slice(start, from));
    if (tokens > maxTokens) break;
    from = start;
  }
  return contents.slice(from);
}

function beginsExchange({ role, parts = [] }: Content): boolean {
  return role === 'user' && !parts.some(({ functionResponse }) => functionResponse !== undefined);
}

/** An estimate: counting exactly would be a call of the model's API for each call of the model. */
function tokensOf(contents: readonly Content[]): number {
  return contents.reduce((sum, { parts = [] }) => sum + tokensIn(parts), 0);
}

export function tokensIn(parts: readonly Part[]): number {
  return Math.ceil(parts.reduce((sum, part) => sum + estimate(part), 0));
}

function estimate(part: Part): number {
  if (part.text !== undefined) return part.text.length / charsPerToken;
  const { mimeType = '', data } = part.inlineData ?? {};
  if (data === undefined)
    return JSON.stringify({ ...part, thoughtSignature: undefined }).length / charsPerToken;
  if (mimeType.startsWith('image/')) return tokensPerImage;
  const bytes = Buffer.byteLength(data, 'base64');
  return mimeType.startsWith('text/') ? bytes / charsPerToken : bytes / bytesPerToken;
}
