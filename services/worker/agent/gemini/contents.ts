/** What was said, in the parts that Gemini takes. */
import type { Content, Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { HistoryEntry } from '../agent.ts';

/** Adds parts to a conversation; what one role says in succession becomes one content. */
export function add(contents: Content[], role: 'user' | 'model', parts: readonly GeminiPart[]): void {
  if (parts.length === 0) return;
  const last = contents.at(-1);
  if (last?.role === role) last.parts = [...(last.parts ?? []), ...parts];
  else contents.push({ role, parts: [...parts] });
}

/** An exchange of which only the words are known: of another task, or of a turn without records. */
export function addSaid(contents: Content[], { role, parts }: HistoryEntry): void {
  if (role === 'agent') add(contents, 'model', parts.flatMap(ofAgent));
  else add(contents, 'user', partsOfUser(parts));
}

export function partsOfUser(parts: readonly Part[]): GeminiPart[] {
  return parts.flatMap(ofUser);
}

function ofUser(part: Part): GeminiPart[] {
  if (part.raw !== undefined) {
    return [{ inlineData: { mimeType: part.mediaType ?? typeByName(part.filename), data: part.raw } }];
  }
  if (part.url !== undefined) {
    return [
      { fileData: { fileUri: part.url, mimeType: part.mediaType ?? typeByName(part.filename ?? part.url) } },
    ];
  }
  return asText(part);
}

/** Files that the agent made are only named: a model's own contents are text. */
function ofAgent(part: Part): GeminiPart[] {
  if (part.raw !== undefined || part.url !== undefined)
    return [{ text: `[file ${part.filename ?? part.url ?? ''}]` }];
  return asText(part);
}

function asText({ text, data }: Part): GeminiPart[] {
  if (data !== undefined) return [{ text: JSON.stringify(data) }];
  return text === undefined || text === '' ? [] : [{ text }];
}

const types: Record<string, string> = {
  csv: 'text/csv',
  gif: 'image/gif',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  json: 'application/json',
  md: 'text/markdown',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  pdf: 'application/pdf',
  png: 'image/png',
  txt: 'text/plain',
  wav: 'audio/wav',
  webp: 'image/webp',
};

function typeByName(name = ''): string {
  const extension = /\.(\w+)(?:[?#].*)?$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return types[extension] ?? 'application/octet-stream';
}
