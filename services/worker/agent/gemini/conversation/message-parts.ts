/**
 * Converts the parts of a turn's message to Gemini's form: text, data as JSON, and files.
 *
 *   inline                       sent as inline data
 *   gs:// URL                    sent as a URL, which Vertex AI reads, if its bucket is open to callers
 *   URL of a YouTube video       sent as a URL, which both APIs read
 *   URL of this service          read from the database, if the caller may read it
 *   any other URL                fetched once, in a durable step that records the content
 */
import type { Part as GeminiPart } from '@google/genai';
import { FatalError } from '#shared/domain/errors.ts';
import type { Part } from '#shared/domain/message.ts';
import type { TurnDownloads } from '../../files/downloads.ts';
import { redactUrl } from '../../files/fetch-file.ts';
import { toTextParts } from './contents.ts';
import { getTypeByExtension, supportedTypes, toSupportedType } from './media-types.ts';
import type { LoopTurn } from './recorded-turn.ts';

export interface FileAccess {
  downloads: TurnDownloads;
  /** Vertex AI reads Cloud Storage; the Developer API does not. */
  vertexai: boolean;
  /** Buckets of Cloud Storage whose objects callers may name. */
  buckets: readonly string[];
}

/**
 * @throws {FatalError} if a file cannot be fetched or has a type that the model does not accept
 * @throws {RetryableError} if fetching a file may succeed later
 */
export async function toGeminiParts(
  turn: LoopTurn,
  parts: readonly Part[],
  access: FileAccess,
): Promise<GeminiPart[]> {
  // Files are fetched concurrently. Their steps start in the order of the parts.
  const running = parts.map((part) => toGemini(turn, part, access));
  // Waits for all of them, so that no fetch outlives the turn.
  await Promise.allSettled(running);
  return (await Promise.all(running)).flat();
}

async function toGemini(turn: LoopTurn, part: Part, access: FileAccess): Promise<GeminiPart[]> {
  const { raw, url, filename } = part;
  if (raw !== undefined) {
    const type = part.mediaType ?? getTypeByExtension(filename);
    return [toInline(raw, requireSupportedType(type, filename ?? 'a file'))];
  }
  if (url === undefined) return toTextParts(part);
  const declaredType = part.mediaType ?? getTypeByExtension(filename ?? url);
  if (url.startsWith('gs://')) {
    if (!access.vertexai) {
      throw new FatalError(
        `The file ${url} is in Cloud Storage, which this agent's model API cannot read. Send the file inline or by an https URL.`,
      );
    }
    checkBucket(url, access.buckets);
    return [{ fileData: { fileUri: url, mimeType: requireSupportedType(declaredType, url) } }];
  }
  if (isYouTube(url)) return [{ fileData: { fileUri: url, mimeType: part.mediaType ?? 'video/mp4' } }];
  let live = false;
  const { type, data } = await turn.step(
    'file',
    ({ signal }) => {
      live = true;
      return fetchFile(turn, url, declaredType, access.downloads, signal);
    },
    { input: { url } },
  );
  if (!live) access.downloads.addRecorded(Buffer.byteLength(data, 'base64'));
  return [toInline(data, type)];
}

async function fetchFile(
  turn: LoopTurn,
  url: string,
  declaredType: string | undefined,
  downloads: TurnDownloads,
  signal: AbortSignal,
): Promise<{ type: string; data: string }> {
  const stored = await turn.readFile(url);
  if (stored !== undefined) await downloads.addStored(stored.content.length);
  const { content, mediaType } = stored ?? (await downloads.fetch(url, signal));
  // The declared type takes precedence, but a web page in place of a file is an error page or a login form.
  const isPage = mediaType === 'text/html' && declaredType !== undefined && !declaredType.startsWith('text/');
  if (isPage)
    throw new FatalError(
      `The file ${redactUrl(url)} could not be fetched: the server sent a web page instead.`,
    );
  const type = requireSupportedType(declaredType ?? mediaType, redactUrl(url));
  return { type, data: content.toString('base64') };
}

/**
 * Vertex AI reads objects with the permissions of the worker, which callers do not have.
 *
 * @throws {FatalError} if the bucket is not open to callers
 */
function checkBucket(url: string, buckets: readonly string[]): void {
  const bucket = /^gs:\/\/([^/]+)\/./.exec(url)?.[1];
  if (bucket !== undefined && buckets.includes(bucket)) return;
  const accepted =
    buckets.length === 0 ? '' : `, or from ${buckets.map((name) => `gs://${name}/`).join(' or ')}`;
  throw new FatalError(
    `The file ${url} is in a bucket that this agent does not open to callers. Send the file inline or by an https URL${accepted}.`,
  );
}

function requireSupportedType(mediaType: string | undefined, name: string): string {
  const type = toSupportedType(mediaType);
  if (type !== undefined) return type;
  const problem = mediaType === undefined ? 'its type is unknown' : `the type ${mediaType} is not supported`;
  throw new FatalError(`The model cannot read ${name}: ${problem} (expected ${supportedTypes}).`);
}

function toInline(data: string, mimeType: string): GeminiPart {
  return { inlineData: { mimeType, data } };
}

function isYouTube(url: string): boolean {
  return /^https:\/\/(?:www\.youtube\.com\/watch\?|youtu\.be\/)/.test(url);
}
