/** Parts of A2A and parts of Gemini, in which ADK speaks. */
import type { LlmResponse } from '@google/adk';
import type { Turn } from '#services/worker/agent/agent.ts';
import type { Json, Part } from '#shared/domain/message.ts';

/** A type of the version of Gemini's SDK that ADK uses. */
export type Content = NonNullable<LlmResponse['content']>;
export type GeminiPart = NonNullable<Content['parts']>[number];
export type FunctionCall = NonNullable<GeminiPart['functionCall']>;

const textTypes = /^(?:text\/|application\/json)/;

/** Content that this service has stored is read back. */
export async function toGeminiPart(turn: Pick<Turn, 'readFile'>, part: Part): Promise<GeminiPart> {
  const { text, raw, url, data, mediaType = 'application/octet-stream', filename } = part;
  if (text !== undefined) return { text };
  if (data !== undefined) return { text: JSON.stringify(data) };
  const displayName = filename === undefined ? {} : { displayName: filename };
  if (raw !== undefined) return { inlineData: { data: raw, mimeType: mediaType, ...displayName } };
  const file = await turn.readFile(url ?? '');
  if (file === undefined) return { fileData: { fileUri: url ?? '', mimeType: mediaType, ...displayName } };
  return textTypes.test(file.mediaType)
    ? { text: file.content.toString() }
    : { inlineData: { data: file.content.toString('base64'), mimeType: file.mediaType, ...displayName } };
}

export function toPart({ text, inlineData, fileData, ...other }: GeminiPart): Part {
  if (text !== undefined) return { text };
  if (inlineData !== undefined) {
    const { data = '', mimeType, displayName } = inlineData;
    return {
      raw: data,
      ...(mimeType && { mediaType: mimeType }),
      ...(displayName && { filename: displayName }),
    };
  }
  if (fileData !== undefined) {
    const { fileUri = '', mimeType, displayName } = fileData;
    return {
      url: fileUri,
      ...(mimeType && { mediaType: mimeType }),
      ...(displayName && { filename: displayName }),
    };
  }
  return { data: JSON.parse(JSON.stringify(other)) as Json, mediaType: 'application/json' };
}
