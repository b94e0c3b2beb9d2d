/**
 * Sends one POST to a receiver. Limits the time and how much of the response is read, and does not follow
 * redirects. A receiver may close a connection while a request is sent on it. If it may have been used before, the
 * request is sent once more at once, on a new connection.
 */
import { keepAliveMs } from '#shared/net/guarded-agent.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import type { Agent, Dispatcher } from 'undici';
import { describeError } from './describe-error.ts';
import type { Receiver } from './schedule/receiver.ts';
import { Registry } from './registry.ts';

export interface Post {
  receiver: Pick<Receiver, 'origin' | 'path'>;
  headers: Record<string, string>;
  body: string;
  /** Called when the body is about to be sent once more. */
  onRepeat: () => void;
  /** Called each time that the request is written to a connection: not if the receiver cannot be connected to. */
  onWrite: () => void;
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
    const limit = new TimeLimit(timeoutMs);
    const origin = origins.get(post.receiver.origin);
    const mayBeReused = mayBeOpen(origin);
    try {
      const result = await send(pooled, limit, post).catch((error: unknown) => {
        if (!mayBeReused || !isClosed(error)) throw error;
        post.onRepeat();
        return send(fresh, limit, post);
      });
      origin.answeredAt = performance.now();
      return result;
    } catch (error) {
      const reason = limit.isOver ? `no answer within ${timeoutMs / 1000} s` : describeError(error);
      return {
        status: null,
        error: reason,
        detail: errorMessage(error),
        responseStart: null,
        retryAfter: undefined,
      };
    } finally {
      limit.clear();
    }
  };
}

/** Each request needs one: an AbortSignal with a timeout would cost several times as much. */
class TimeLimit {
  readonly #timer: NodeJS.Timeout;
  isOver = false;
  /** Called when the time is over. */
  onEnd: () => void = () => undefined;

  constructor(ms: number) {
    this.#timer = setTimeout(() => {
      this.isOver = true;
      this.onEnd();
    }, ms);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

/**
 * Sends one request. Reads the answer as it arrives: a stream for each would cost more than the rest of the request. Once there
 * is a status, it decides, even if the body breaks off or takes too long.
 */
function send(dispatcher: Agent, limit: TimeLimit, post: Post): Promise<PostResult> {
  const { receiver, headers, body } = post;
  return new Promise((resolve, reject) => {
    let sending: Dispatcher.DispatchController | undefined;
    let answer: Pick<PostResult, 'status' | 'retryAfter'> | undefined;
    const chunks: Buffer[] = [];
    let length = 0;
    const end = (): void => {
      if (answer !== undefined) resolve({ ...answer, error: null, responseStart: toText(chunks) });
    };
    const fail = (error: Error): void => {
      end();
      reject(error);
    };
    const stop = (reason: string): void => {
      const error = new Error(reason);
      fail(error);
      sending?.abort(error);
    };
    limit.onEnd = () => stop('the time for the request is over');
    const { origin, path } = receiver;
    // The limit replaces the timeouts of undici.
    const timeouts = { headersTimeout: 0, bodyTimeout: 0 };
    const request = { origin, path, method: 'POST', headers, body, ...timeouts } as const;
    dispatcher.dispatch(request, {
      onRequestStart: (controller) => {
        sending = controller;
        if (limit.isOver) controller.abort(new Error('the time for the request was over before it was sent'));
        else post.onWrite();
      },
      onResponseStart: (_, status, { 'retry-after': retryAfter }) => {
        if (status < 200) return;
        answer = { status, retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined };
      },
      onResponseData: (_, chunk) => {
        if (length < storedBytes) chunks.push(chunk);
        length += chunk.length;
        if (length >= maxReadBytes) stop('the answer is too long');
      },
      onResponseEnd: end,
      onResponseError: (_, error) => fail(error),
    });
  });
}

function isClosed(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && closedCodes.has(code);
}

/** Decodes what is stored of the body of an answer. */
function toText(chunks: readonly Buffer[]): string {
  if (chunks.length === 0) return '';
  const text = new TextDecoder().decode(Buffer.concat(chunks).subarray(0, storedBytes));
  // PostgreSQL's text cannot store null characters.
  return text.replaceAll('\u0000', '\uFFFD');
}
