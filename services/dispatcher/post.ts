/**
 * Sends one POST to a receiver. Limits the time and how much of the response is read, and does not follow
 * redirects. A receiver may close a connection while a request is sent on it. If it may have been used before, the
 * request is sent once more at once, on a new connection.
 */
import { keepAliveMs } from '#shared/net/guarded-agent.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { request, type Agent } from 'undici';
import { describeError } from './describe-error.ts';
import { Registry } from './registry.ts';

export interface Post {
  url: URL;
  headers: Record<string, string>;
  body: string;
  /** Called when the body is about to be sent once more. */
  onRepeat: () => void;
}

export interface PostResult {
  status: number | null;
  /** Why the status is missing, for the owner of the webhook. */
  error: string | null;
  /** The same for the log, with addresses. */
  detail?: string;
  /** The first 1024 bytes of the response body, as text. */
  responseStart: string | null;
  retryAfter: string | undefined;
}

const storedBytes = 1024;
/** A longer response is cut off, and its connection is closed. */
const maxReadBytes = 64 * 1024;

/** Node and undici report that a connection was closed by one of these. */
const closedCodes = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** `pooled` keeps connections open, and `fresh` has one for each request. */
export interface PostAgents {
  pooled: Agent;
  fresh: Agent;
}

/** Never rejects. */
export type SendPost = (post: Post) => Promise<PostResult>;

export function createPost({ pooled, fresh }: PostAgents, timeoutMs: number): SendPost {
  const mayBeOpen = (origin: { answeredAt: number }) => performance.now() - origin.answeredAt < keepAliveMs;
  const origins = new Registry(
    () => ({ answeredAt: -Infinity }),
    (origin) => !mayBeOpen(origin),
  );
  return async (post) => {
    // One limit for name resolution, connection, request and response together.
    const signal = AbortSignal.timeout(timeoutMs);
    const origin = origins.get(post.url.origin);
    const mayBeReused = mayBeOpen(origin);
    try {
      const result = await send(pooled, signal, post).catch((error: unknown) => {
        if (!mayBeReused || !isClosed(error)) throw error;
        post.onRepeat();
        return send(fresh, signal, post);
      });
      origin.answeredAt = performance.now();
      return result;
    } catch (error) {
      const reason = signal.aborted ? `no answer within ${timeoutMs / 1000} s` : describeError(error);
      return {
        status: null,
        error: reason,
        detail: errorMessage(error),
        responseStart: null,
        retryAfter: undefined,
      };
    }
  };
}

async function send(
  dispatcher: Agent,
  signal: AbortSignal,
  { url, headers, body }: Post,
): Promise<PostResult> {
  const response = await request(url, { method: 'POST', headers, body, dispatcher, signal });
  const retryAfter = response.headers['retry-after'];
  return {
    status: response.statusCode,
    error: null,
    responseStart: await readStart(response.body),
    retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
  };
}

function isClosed(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && closedCodes.has(code);
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
