/**
 * Creates the client of the SDK. It does not retry, and it tolerates the silence of a model that thinks for
 * minutes.
 */
import { GoogleGenAI } from '@google/genai';
import type { Fetch } from '../../fetch.ts';
import { checkCredentials, type GeminiClientOptions } from './credentials.ts';
import type { ObservedResponse } from './failure.ts';

/**
 * The longest silence within a response. The SDK itself never gives up. A model may think for minutes without
 * sending anything, while a dead connection is silent for good.
 */
export const maxSilenceMs = 10 * 60_000;

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

/** Wraps a fetch to report each response, because the SDK's errors lack its `Retry-After` header. */
export function observeResponses(fetch: Fetch, observe: (response: ObservedResponse) => void): Fetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    observe({ status: response.status, retryAfter: response.headers.get('retry-after') });
    return response;
  };
}
