/** The SDK's client, made once. It retries nothing and waits for as long as a model may think without a word. */
import { GoogleGenAI } from '@google/genai';
import { checkCredentials, type GeminiClientOptions } from './credentials.ts';

/**
 * Fetch gives up after five minutes of silence, the SDK waits forever; a model that thinks hard is silent for minutes,
 * a dead connection for good.
 */
const MAX_SILENCE_MS = 10 * 60_000;

/** @throws {Error} when neither a key nor Vertex AI is configured */
export function createGeminiClient(options: GeminiClientOptions): GoogleGenAI {
  const { apiKey, vertexai = false, project, location, baseUrl } = options;
  checkCredentials(options);
  return new GoogleGenAI({
    vertexai,
    ...(vertexai
      ? { ...(project && { project }), ...(location && { location }) }
      : { apiKey: apiKey ?? 'none' }),
    ...(vertexai && apiKey !== undefined && project === undefined && { apiKey }),
    ...(baseUrl !== undefined && { httpOptions: { baseUrl } }),
  });
}

export type Fetch = typeof globalThis.fetch;

/** A fetch with connections of its own. */
export function createFetch(): Fetch {
  let opening: ReturnType<typeof openConnections> | undefined;
  const fetch = async (url: string, init: object) => {
    const { undici, dispatcher } = await (opening ??= openConnections());
    return undici.fetch(url, { ...init, dispatcher });
  };
  // The same standard; only the declarations of the two implementations differ.
  return fetch as unknown as Fetch;
}

/** Loaded with the first call, so that workers start quickly. */
async function openConnections() {
  const undici = await import('undici');
  const dispatcher = new undici.Agent({
    headersTimeout: MAX_SILENCE_MS,
    bodyTimeout: MAX_SILENCE_MS,
    allowH2: false,
  });
  return { undici, dispatcher };
}

/** Notes `Retry-After` of an answer: the SDK's error does not carry it. */
export function noting(fetch: Fetch, note: (retryAfter: string | null) => void): Fetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    note(response.headers.get('retry-after'));
    return response;
  };
}
