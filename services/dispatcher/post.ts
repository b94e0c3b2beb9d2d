/**
 * Sends one POST to a receiver. Limits the time and how much of the response is read, and does not follow
 * redirects.
 */
import { errorMessage } from '#shared/runtime/log.ts';
import { request, type Agent } from 'undici';

export interface Post {
  url: URL;
  headers: Record<string, string>;
  body: string;
}

export interface PostResult {
  status: number | null;
  /** Why the status is missing. */
  error: string | null;
  /** The first 1024 bytes of the response body, as text. */
  responseStart: string | null;
  retryAfter: string | undefined;
}

const storedBytes = 1024;
/** A longer response is cut off, and its connection is closed. */
const maxReadBytes = 64 * 1024;

export async function post(
  agent: Agent,
  timeoutMs: number,
  { url, headers, body }: Post,
): Promise<PostResult> {
  // One limit for name resolution, connection, request and response together.
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await request(url, { method: 'POST', headers, body, dispatcher: agent, signal });
    const retryAfter = response.headers['retry-after'];
    return {
      status: response.statusCode,
      error: null,
      responseStart: await readStart(response.body),
      retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
    };
  } catch (error) {
    const reason = signal.aborted ? `no answer within ${timeoutMs / 1000} s` : describe(error);
    return { status: null, error: reason, responseStart: null, retryAfter: undefined };
  }
}

/** Never rejects: the status decides, even if the body breaks off or takes too long. */
async function readStart(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      if (length < storedBytes) chunks.push(chunk);
      length += chunk.length;
      if (length >= maxReadBytes) break;
    }
  } catch {
    // The part that arrived is stored.
  }
  const text = new TextDecoder().decode(Buffer.concat(chunks).subarray(0, storedBytes));
  // PostgreSQL's text cannot store null characters.
  return text.replaceAll('\u0000', '\uFFFD');
}

function describe(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  const message = errorMessage(cause).slice(0, 500);
  return typeof code === 'string' && !message.includes(code) ? `${code}: ${message}` : message;
}
