/** What was said, in the parts that Gemini takes. */
import type { Content, Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { HistoryEntry } from '../../agent.ts';
import { takenType, typeByName } from './media-types.ts';

/** Adds parts to a conversation; what one role says in succession becomes one content. */
export function add(contents: Content[], role: 'user' | 'model', parts: readonly GeminiPart[]): void {
  if (parts.length === 0) return;
  const last = contents.at(-1);
  if (last?.role === role) last.parts = [...(last.parts ?? []), ...parts];
  else contents.push({ role, parts: [...parts] });
}

/**
 * An exchange of which only the words are known: of another task, or of a turn without records. Files that its user
 * sent inline are shown again; all others are only named.
 */
export function addSaid(contents: Content[], { role, parts }: HistoryEntry): void {
  if (role === 'agent') add(contents, 'model', parts.flatMap(inWords));
  else add(contents, 'user', parts.flatMap(shownAgain));
}

export function shownAgain(part: Part): GeminiPart[] {
  const { raw, mediaType, filename } = part;
  const type = raw === undefined ? undefined : takenType(mediaType ?? typeByName(filename));
  return raw === undefined || type === undefined
    ? inWords(part)
    : [{ inlineData: { mimeType: type, data: raw } }];
}

/** A model's own contents are text. */
function inWords(part: Part): GeminiPart[] {
  if (part.raw === undefined && part.url === undefined) return asText(part);
  return [{ text: `[file ${part.filename ?? part.url ?? ''}]` }];
}

export function asText({ text, data }: Part): GeminiPart[] {
  if (data !== undefined) return [{ text: JSON.stringify(data) }];
  return text === undefined || text === '' ? [] : [{ text }];
}
