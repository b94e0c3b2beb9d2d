/** Calls of the agent's HTTP+JSON binding and of its extensions. Each is kept in the wire log of this session. */
import { authHeaders, basePath, refusal, scopes } from './session.ts';
import { logCall, type LoggedCall } from './wire-log.ts';

export const restPath = `${basePath}/a2a/v1`;

/** The agent refused a call, or did not answer. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** The HTTP status; 0: no answer. */
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface CallOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** @throws {ApiError} */
export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const { response, entry } = await request(restPath + path, options);
  const text = await response.text();
  entry.finish(text);
  return (text === '' ? {} : JSON.parse(text)) as T;
}

/**
 * Sends a request and returns the answer if it is a success.
 *
 * @throws {ApiError}
 */
export async function request(
  url: string,
  { method = 'GET', body, headers, signal }: CallOptions = {},
): Promise<{ response: Response; entry: LoggedCall }> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const entry = logCall(method, url, text);
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: {
        'a2a-version': '1.0',
        ...authHeaders.value,
        ...(text !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(text !== undefined && { body: text }),
      ...(signal && { signal }),
      credentials: 'omit',
    });
  } catch (error) {
    entry.fail((error as Error).message);
    if (signal?.aborted === true) throw error;
    throw new ApiError(0, 'The agent does not answer. Check that it is running, then try again.');
  }
  entry.answered(response.status);
  scopes.value = response.headers.get('longhaul-scopes') ?? scopes.value;
  if (response.ok) return { response, entry };
  const answer = await response.text();
  entry.finish(answer);
  const error = new ApiError(response.status, readMessage(answer, response));
  if (response.status === 401) refusal.value = error.message;
  throw error;
}

/** Errors of the binding are `{"error": {"message"}}`, those outside of it `{"error": "…"}`. */
function readMessage(answer: string, { status, headers }: Response): string {
  const retryAfter = headers.get('retry-after');
  const hint = retryAfter === null ? '' : ` (try again in ${retryAfter} s)`;
  try {
    const { error } = JSON.parse(answer) as { error?: string | { message?: string } };
    const message = typeof error === 'string' ? error : error?.message;
    if (message !== undefined) return message + (message.includes('try again') ? '' : hint);
  } catch {
    // An answer of a proxy: the status says more than its page.
  }
  return `The agent answered with status ${status}${hint}`;
}
