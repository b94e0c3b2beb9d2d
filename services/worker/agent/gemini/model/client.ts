/**
 * Creates the client of the SDK. It does not retry, and it tolerates the silence of a model that thinks for
 * minutes.
 */
import { GoogleGenAI } from '@google/genai';
import { checkCredentials, type GeminiClientOptions } from './credentials.ts';
import type { ObservedResponse } from './failure.ts';

/**
 * The longest silence within a response. By default fetch gives up after 5 minutes and the SDK never does. A
 * model may think for minutes without sending anything, while a dead connection is silent for good.
 */
const maxSilenceMs = 10 * 60_000;

/** @throws {Error} if neither an API key nor Vertex AI is configured */
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

/**
 * Creates a fetch with its own connection pool.
 *
 * @param silenceMs the longest silence before and within a response
 */
export function createFetch(silenceMs = maxSilenceMs): Fetch {
  let opening: ReturnType<typeof openConnections> | undefined;
  const fetch = async (url: string | URL, init: object = {}) => {
    const { undici, dispatcher } = await (opening ??= openConnections(silenceMs));
    return undici.fetch(url, { ...init, dispatcher });
  };
  // Both implement the same standard; only their type declarations differ.
  return fetch as unknown as Fetch;
}

/** Loads undici with the first call, so that workers start quickly. */
async function openConnections(silenceMs: number) {
  const undici = await import('undici');
  const dispatcher = new undici.Agent({
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    allowH2: false,
  });
  return { undici, dispatcher };
}

/** Wraps a fetch to report each response, because the SDK's errors lack its `Retry-After` header. */
export function observeResponses(fetch: Fetch, observe: (response: ObservedResponse) => void): Fetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    observe({ status: response.status, retryAfter: response.headers.get('retry-after') });
    return response;
  };
}
