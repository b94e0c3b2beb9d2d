/** Builds the conversation in Gemini's form from messages in A2A's form. */
import type { Content, Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { HistoryEntry } from '../../agent.ts';
import { getTypeByExtension, toSupportedType } from './media-types.ts';

/** Appends parts to a conversation. Successive parts of one role share a content. */
export function appendContent(
  contents: Content[],
  role: 'user' | 'model',
  parts: readonly GeminiPart[],
): void {
  if (parts.length === 0) return;
  const last = contents.at(-1);
  if (last?.role === role) last.parts = [...(last.parts ?? []), ...parts];
  else contents.push({ role, parts: [...parts] });
}

/**
 * Appends an entry whose model calls are not available: an entry of another task, or of a turn without
 * records. Files that the user sent inline are included again. Other files are mentioned by name only.
 */
export function appendHistoryEntry(contents: Content[], { role, parts }: HistoryEntry): void {
  if (role === 'agent') appendContent(contents, 'model', parts.flatMap(toTextOrName));
  else appendContent(contents, 'user', parts.flatMap(toUserParts));
}

export function toUserParts(part: Part): GeminiPart[] {
  const { raw, mediaType, filename } = part;
  const type = raw === undefined ? undefined : toSupportedType(mediaType ?? getTypeByExtension(filename));
  return raw === undefined || type === undefined
    ? toTextOrName(part)
    : [{ inlineData: { mimeType: type, data: raw } }];
}

/** Mentions a file by name only, because contents of the role `model` are text. */
function toTextOrName(part: Part): GeminiPart[] {
  if (part.raw === undefined && part.url === undefined) return toTextParts(part);
  return [{ text: `[file ${part.filename ?? part.url ?? ''}]` }];
}

export function toTextParts({ text, data }: Part): GeminiPart[] {
  if (data !== undefined) return [{ text: JSON.stringify(data) }];
  return text === undefined || text === '' ? [] : [{ text }];
}
