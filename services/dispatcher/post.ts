/** One POST to a receiver: bounded in time and in what is read of the answer; redirects are not followed. */
import { errorMessage } from '#shared/runtime/log.ts';
import { request, type Agent } from 'undici';

export interface Post {
  url: URL;
  headers: Record<string, string>;
  body: string;
}

export interface Posted {
  status: number | null;
  /** Why there is no status. */
  error: string | null;
  /** The beginning of the answer's body, as text. */
  responseStart: string | null;
  retryAfter: string | undefined;
}

const keptBytes = 1024;
/** Beyond this an answer is cut off, and its connection with it. */
const readBytes = 64 * 1024;

export async function post(agent: Agent, timeoutMs: number, { url, headers, body }: Post): Promise<Posted> {
  // One bound for name resolution, connection, request and answer together.
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
    const why = signal.aborted ? `no answer within ${timeoutMs / 1000} s` : describe(error);
    return { status: null, error: why, responseStart: null, retryAfter: undefined };
  }
}

/** The status is the answer: a body that breaks off or takes too long changes nothing. */
async function readStart(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      if (length < keptBytes) chunks.push(chunk);
      length += chunk.length;
      if (length >= readBytes) break;
    }
  } catch {
    // What came is kept.
  }
  const text = new TextDecoder().decode(Buffer.concat(chunks).subarray(0, keptBytes));
  // PostgreSQL's text cannot hold it.
  return text.replaceAll('\u0000', '\uFFFD');
}

function describe(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  const message = errorMessage(cause).slice(0, 500);
  return typeof code === 'string' && !message.includes(code) ? `${code}: ${message}` : message;
}
