/**
 * The conversation as Gemini takes it: what was said before, then the message that began the turn. A question that the
 * agent asked stands there as its message and the answer as the user's: the function call that asked belongs to an
 * earlier turn, and is not rebuilt.
 */
import type { Content, Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { Turn } from '../agent.ts';

export function contentsOf({ history, message }: Pick<Turn, 'history' | 'message'>): Content[] {
  const contents: Content[] = [];
  const add = (role: 'user' | 'model', parts: GeminiPart[]) => {
    const last = contents.at(-1);
    if (last?.role === role) last.parts?.push(...parts);
    else contents.push({ role, parts });
  };
  for (const { role, parts } of history) {
    const said = role === 'agent' ? parts.flatMap(ofAgent) : parts.flatMap(ofUser);
    if (said.length > 0) add(role === 'agent' ? 'model' : 'user', said);
  }
  const asked = message.parts.flatMap(ofUser);
  add('user', asked.length > 0 ? asked : [{ text: '(an empty message)' }]);
  return contents;
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
