/** Classifies failed calls of an MCP server. */
import { ProtocolError, SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';
import { parseRetryAfter } from '#shared/domain/retry.ts';
import type { Fetch } from '../fetch.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

/** The connection could not be opened, so the call did not reach the server. */
export class NotOpenError extends Error {
  constructor(cause: unknown) {
    super('the connection cannot be opened', { cause });
  }
}

/** The server does not know the tool, or knows it with other arguments: the list that names it is outdated. */
export class UnknownToolError extends Error {}

/** The server is too busy for the request (429 or 503). */
export class BusyError extends SdkHttpError {
  /** The wait that the server asks for; undefined: none. */
  readonly retryAfterMs: number | undefined;
  constructor(response: Response) {
    super(SdkErrorCode.ClientHttpNotImplemented, `The server is busy (status ${response.status}).`, {
      status: response.status,
      statusText: response.statusText,
    });
    const seconds = parseRetryAfter(response.headers.get('retry-after'), databaseNow());
    this.retryAfterMs = seconds === undefined ? undefined : seconds * 1000;
  }
}

/** Wraps a fetch so that it rejects with a BusyError, because the client's own errors lack `Retry-After`. */
export function rejectBusy(fetch: Fetch): Fetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    if (response.status !== 429 && response.status !== 503) return response;
    await response.body?.cancel();
    throw new BusyError(response);
  };
}

export function findBusyError(error: unknown): BusyError | undefined {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof BusyError) return at;
  return undefined;
}

/** When a connection was lost: before the server got the call, or after it may have. */
export type Loss = 'before_call' | 'during_call';

export function classifyLoss(error: unknown): Loss | undefined {
  if (error instanceof NotOpenError) return 'before_call';
  // A restarted server does not know the session: it answers 404 by the specification, 400 with the older
  // SDK.
  if (error instanceof SdkHttpError) {
    const gone = error.status === 404 || (error.status === 400 && /session/i.test(error.message));
    return gone ? 'before_call' : undefined;
  }
  if (error instanceof SdkError) {
    if (error.code === SdkErrorCode.ConnectionClosed) return 'during_call';
    return error.code === SdkErrorCode.NotConnected ? 'before_call' : undefined;
  }
  if (!(error instanceof Error)) return undefined;
  if (error.message === 'Not connected') return 'before_call';
  if (!(error instanceof TypeError)) return undefined;
  const { code } = (error.cause ?? {}) as { code?: unknown };
  return code === 'ECONNREFUSED' || code === 'ENOTFOUND' ? 'before_call' : 'during_call';
}

export function isRefusal(error: unknown): boolean {
  return error instanceof SdkHttpError && (error.status === 401 || error.status === 403);
}

/** SEP-2243: the headers of the call do not match the schema of the tool. */
const headerMismatchCode = -32_020;

/** Returns true if the server refused the call because the list of its tools has changed. */
export function isOutdated(error: unknown, tool: string): boolean {
  if (!(error instanceof ProtocolError)) return false;
  return error.code === headerMismatchCode || namesUnknownTool(error.message, tool);
}

/** The specification's wording, and that of the SDKs, which they also put into results that are errors. */
export function namesUnknownTool(message: string, tool: string): boolean {
  const wording =
    /^(?:MCP error -\d+: )?(?:Unknown tool\b|Tool \S+ (?:not found|is unknown|does not exist))/i;
  return wording.test(message) && message.includes(tool);
}
