/**
 * The requests to another agent. Its address comes from the operator's definition, as that of an MCP server, so private
 * hosts are allowed. Its card and its answers are not trusted: credentials go to one origin, redirects are not
 * followed, and answers are bounded.
 */
import { RetryableError } from '#shared/domain/errors.ts';
import { parseRetryAfter } from '#shared/domain/retry.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { activeTraceparent } from '#shared/runtime/spans.ts';
import { CredentialsError } from '../errors.ts';
import type { Fetch } from '../fetch.ts';
import { BusyError, RefusedError } from './agent.ts';

/** The most that is read of an answer. */
const maxBodyBytes = 16 * 1024 * 1024;

/** How long other agents may take, in milliseconds. */
export interface AgentTimes {
  /** The longest silence. An agent may ignore that a message is sent without waiting, and work before it answers. */
  silenceMs: number;
  /** From the headers of an answer to its end. Streams have no such bound here. */
  bodyMs: number;
  /** The longest read of a task. Agents answer it from what they have stored. */
  getMs: number;
}

export const agentTimes: AgentTimes = { silenceMs: 5 * 60_000, bodyMs: 60_000, getMs: 60_000 };

export interface AgentFetchOptions {
  /** Makes the requests. */
  fetch: Fetch;
  bodyMs: number;
  /** In the definition. */
  name: string;
  /** Gets the headers. */
  origin: string;
  /** @throws {CredentialsError} if a secret is not set */
  getHeaders: () => Promise<Record<string, string>>;
}

/**
 * The fetch rejects with a RetryableError while the agent is unavailable (a BusyError if it says how long), with a
 * CredentialsError if it refuses the credentials, and with a RefusedError for a redirect or an answer that is too large.
 */
export function createAgentFetch({ fetch, bodyMs, name, origin, getHeaders }: AgentFetchOptions): Fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    if (url.origin === origin) {
      for (const [key, value] of Object.entries(await getHeaders())) headers.set(key, value);
    }
    const traceparent = activeTraceparent();
    if (traceparent !== null) headers.set('traceparent', traceparent);
    let response: Response;
    let body: Uint8Array<ArrayBuffer> | undefined;
    // The SDK bounds each event of a stream.
    let streams = false;
    const late = new AbortController();
    const signal = AbortSignal.any([late.signal, ...(init?.signal ? [init.signal] : [])]);
    try {
      response = await fetch(url, { ...init, headers, redirect: 'manual', signal });
      streams = response.ok && isStream(response.headers, 'content-type') && isStream(headers, 'accept');
      body = streams ? undefined : await readBody(response, bodyMs, late);
    } catch (error) {
      init?.signal?.throwIfAborted();
      throw toUnavailable(name, error);
    }
    if (streams) return response;
    if (body === undefined) {
      throw new RefusedError(`The answer of the agent "${name}" is larger than ${maxBodyBytes} bytes.`);
    }
    checkStatus(name, response);
    return new Response(body.length === 0 ? null : body, {
      status: response.status,
      statusText: response.statusText,
      headers: [...response.headers],
    });
  };
}

function isStream(headers: Headers, field: 'accept' | 'content-type'): boolean {
  return headers.get(field)?.includes('text/event-stream') === true;
}

export function toUnavailable(name: string, cause: unknown): RetryableError {
  return new RetryableError(`The agent "${name}" is currently unavailable.`, { cause });
}

export function createCredentialsError(name: string): CredentialsError {
  return new CredentialsError(
    `The agent "${name}" refuses the credentials of this agent. When its operator has corrected them, send any message to continue.`,
  );
}

function checkStatus(name: string, { status, headers }: Response): void {
  if (status >= 300 && status < 400) {
    throw new RefusedError(
      `The agent "${name}" redirects to ${headers.get('location') ?? 'another address'}, which is not followed: its operator must set that URL.`,
    );
  }
  if (status === 401 || status === 403) throw createCredentialsError(name);
  const answered = headers.get('content-type')?.includes('json') === true;
  const isOutage = status >= 500 && status !== 501; // 501: it does not have the method
  if (isBusy(status) || (isOutage && !answered)) {
    const cause = new Error(`It answered with status ${status}.`);
    const seconds = asksToWait(status) ? parseRetryAfter(headers.get('retry-after'), databaseNow()) : 0;
    throw seconds
      ? new BusyError(`The agent "${name}" is busy.`, seconds, { cause })
      : toUnavailable(name, cause);
  }
}

function isBusy(status: number): boolean {
  return asksToWait(status) || status === 502 || status === 504;
}

/** The statuses whose `Retry-After` counts (RFC 6585, section 4; RFC 9110, section 15.6.4). */
function asksToWait(status: number): boolean {
  return status === 429 || status === 503;
}

/**
 * Returns undefined if the body is too large.
 *
 * @param late aborts the request when the time is over
 */
async function readBody(
  response: Response,
  bodyMs: number,
  late: AbortController,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const timer = setTimeout(() => late.abort(new Error(`Its answer took longer than ${bodyMs} ms.`)), bodyMs);
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) return undefined;
      chunks.push(chunk);
    }
    return new Uint8Array(Buffer.concat(chunks));
  } finally {
    clearTimeout(timer);
  }
}
