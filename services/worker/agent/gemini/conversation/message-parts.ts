/**
 * The parts of the message that begins a turn, in the parts that Gemini takes: text, data as JSON, and files.
 *
 *   inline                       as inline data
 *   by URL, gs://                by its name, read by Vertex AI itself
 *   by URL, a YouTube video      by its name, read by both APIs themselves
 *   by URL, of this service      read here, if the caller may
 *   by URL, anything else        fetched here, once: a durable step whose result is the content
 */
import type { Part as GeminiPart } from '@google/genai';
import { FatalError } from '#shared/domain/errors.ts';
import type { Part } from '#shared/domain/message.ts';
import { shown, type FileFetcher } from '../../files/fetch-file.ts';
import { asText } from './contents.ts';
import { takenType, takenTypes, typeByName } from './media-types.ts';
import type { LoopTurn } from './recorded-turn.ts';

export interface FileAccess {
  fetcher: FileFetcher;
  /** Vertex AI reads Cloud Storage; the Developer API does not. */
  vertexai: boolean;
}

/** @throws {FatalError} for a file that cannot be had, or that the model does not take */
export async function toGeminiParts(
  turn: LoopTurn,
  parts: readonly Part[],
  access: FileAccess,
): Promise<GeminiPart[]> {
  // Files are fetched at the same time; their steps begin in the order of the parts.
  const running = parts.map((part) => toGemini(turn, part, access));
  // All are waited for, so that none is left running behind a turn that has ended.
  await Promise.allSettled(running);
  return (await Promise.all(running)).flat();
}

async function toGemini(turn: LoopTurn, part: Part, access: FileAccess): Promise<GeminiPart[]> {
  const { raw, url, filename } = part;
  if (raw !== undefined) {
    return [inline(raw, typeOf(part.mediaType ?? typeByName(filename), filename ?? 'a file'))];
  }
  if (url === undefined) return asText(part);
  const named = part.mediaType ?? typeByName(filename ?? url);
  if (url.startsWith('gs://')) {
    if (!access.vertexai) {
      throw new FatalError(
        `The file ${url} is in Cloud Storage, which this agent's model API cannot read: send it inline or by an https URL.`,
      );
    }
    return [{ fileData: { fileUri: url, mimeType: typeOf(named, url) } }];
  }
  if (isYouTube(url)) return [{ fileData: { fileUri: url, mimeType: part.mediaType ?? 'video/mp4' } }];
  const { type, data } = await turn.step(
    'file',
    ({ signal }) => fetched(turn, url, named, access.fetcher, signal),
    {
      input: { url },
    },
  );
  return [inline(data, type)];
}

async function fetched(
  turn: LoopTurn,
  url: string,
  named: string | undefined,
  fetcher: FileFetcher,
  signal: AbortSignal,
): Promise<{ type: string; data: string }> {
  const { content, mediaType } = (await turn.readFile(url)) ?? (await fetcher.fetch(url, signal));
  // The caller knows best, but a page in place of a file is an error or a login.
  const page = mediaType === 'text/html' && named !== undefined && !named.startsWith('text/');
  if (page)
    throw new FatalError(`The file ${shown(url)} could not be fetched: a web page came in its place.`);
  return { type: typeOf(named ?? mediaType, shown(url)), data: content.toString('base64') };
}

function typeOf(mediaType: string | undefined, name: string): string {
  const type = takenType(mediaType);
  if (type !== undefined) return type;
  const what = mediaType === undefined ? 'whose type is not known' : `of the type ${mediaType}`;
  throw new FatalError(`The model cannot read ${name}, ${what}: it takes ${takenTypes}.`);
}

function inline(data: string, mimeType: string): GeminiPart {
  return { inlineData: { mimeType, data } };
}

function isYouTube(url: string): boolean {
  return /^https:\/\/(?:www\.youtube\.com\/watch\?|youtu\.be\/)/.test(url);
}
