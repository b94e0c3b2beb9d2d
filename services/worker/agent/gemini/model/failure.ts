/**
 * Classifies a failed call of the model by what to do about it:
 *
 *   overload      refused with 429 or 503 before any work: waited for without a bound
 *   outage        no usable response, or no connection: waited for until `limits.outageSeconds`
 *   credentials   refused credentials: an outage for a task that has used them before, otherwise fatal
 *   fatal         fails the task
 *   unknown       ends this run of the turn, which is retried until `limits.outageSeconds`
 */
import { ApiError } from '@google/genai';
import { parseRetryAfter } from '#shared/domain/retry.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

export interface ModelFailure {
  kind: 'overload' | 'outage' | 'credentials' | 'fatal' | 'unknown';
  /** For clients. */
  message: string;
  /** The model's own words, for a request that it keeps refusing. */
  detail: string;
  /** The wait that the server asks for. */
  retryAfterMs: number | undefined;
}

/** The properties of the HTTP response that the SDK's errors lack. */
export interface ObservedResponse {
  /** Null: there was no response. */
  status: number | null;
  retryAfter: string | null;
}

/** The stream ended without the model's finish reason. */
export class StreamCutError extends Error {
  override readonly name = 'StreamCutError';
}

/** The messages are for clients and contain no addresses, keys or stack traces. */
export function toModelFailure(
  error: unknown,
  { model, status, retryAfter }: { model: string } & ObservedResponse,
): ModelFailure {
  const noDetails = { detail: '', retryAfterMs: undefined };
  if (error instanceof ApiError) {
    const { message: detail, reasons, retryDelayMs } = parseDetails(error);
    const retryAfterMs = retryDelayMs ?? parseRetryAfterMs(retryAfter);
    return { ...classifyApiError(error.status, { model, status, detail, reasons }), detail, retryAfterMs };
  }
  if (isCredentialsOutage(error)) {
    return { kind: 'outage', message: 'The credentials for the model cannot be obtained.', ...noDetails };
  }
  if (error instanceof StreamCutError || error instanceof SyntaxError) {
    return { kind: 'outage', message: 'The response of the model was incomplete.', ...noDetails };
  }
  if (isNetworkError(error)) {
    return { kind: 'outage', message: 'The model cannot be reached.', ...noDetails };
  }
  return { kind: 'unknown', message: 'The call of the model failed.', ...noDetails };
}

function classifyApiError(
  code: number,
  about: { model: string; status: number | null; detail: string; reasons: string[] },
): Pick<ModelFailure, 'kind' | 'message'> {
  switch (code) {
    case 429:
    case 503:
      // Within a stream, the model has already worked on the request.
      return {
        kind: about.status === code ? 'overload' : 'outage',
        message: code === 429 ? quotaMessage : 'The model is overloaded or temporarily unavailable.',
      };
    case 408:
    case 499:
    case 504:
      return { kind: 'outage', message: 'The model did not answer in time.' };
    case 401:
    case 403:
      return { kind: 'credentials', message: credentialsMessage };
    case 404:
      return { kind: 'fatal', message: `The model "${about.model}" is not available to this agent.` };
    case 413:
      return { kind: 'fatal', message: 'The request is too large for the model.' };
    default:
      if (code >= 500) return { kind: 'outage', message: `The model reported an error (status ${code}).` };
      if (about.reasons.includes('API_KEY_INVALID') || /api key/i.test(about.detail))
        return { kind: 'credentials', message: credentialsMessage };
      return { kind: 'fatal', message: `The model refused the request: ${about.detail}` };
  }
}

/** Codes of google.rpc.Code that another call with the same request would meet again. */
const fatalCodes = new Set([3, 5, 7, 9, 11, 12, 16]);

export function isFatalCode(code: number): boolean {
  return fatalCodes.has(code);
}

export const quotaMessage = "The model's quota is used up for now.";
const credentialsMessage =
  'The agent is not permitted to use its model. Its operator has to check the credentials.';
const maxMessageChars = 500;

interface ErrorDetails {
  message: string;
  reasons: string[];
  retryDelayMs: number | undefined;
}

/**
 * Reads Google's error JSON from the SDK's message. For an error within a stream, the SDK adds text before
 * the JSON.
 */
function parseDetails(error: ApiError): ErrorDetails {
  interface GoogleErrorBody {
    error?: { message?: string; details?: { reason?: string; retryDelay?: string }[] };
  }
  let body: GoogleErrorBody = {};
  try {
    body = JSON.parse(error.message.slice(Math.max(0, error.message.indexOf('{')))) as GoogleErrorBody;
  } catch {
    // Not from Google: a proxy's error page, for example.
  }
  const { message, details = [] } = body.error ?? {};
  const delays = details.map(({ retryDelay }) => /^([\d.]+)s$/.exec(retryDelay ?? '')?.[1]);
  const delay = delays.find((seconds) => seconds !== undefined);
  return {
    message: (message ?? `status ${error.status}`).slice(0, maxMessageChars),
    reasons: details.flatMap(({ reason }) => reason ?? []),
    retryDelayMs: delay === undefined ? undefined : Number(delay) * 1000,
  };
}

function parseRetryAfterMs(header: string | null): number | undefined {
  const seconds = parseRetryAfter(header ?? undefined, databaseNow());
  return seconds === undefined ? undefined : seconds * 1000;
}

/** Errors of the library that obtains Google's access tokens carry the status of the token server. */
function isCredentialsOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { status, response } = error as { status?: unknown; response?: { status?: unknown } };
  return [status, response?.status].some((code) => typeof code === 'number' && (code === 429 || code >= 500));
}

function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { cause, code } = error as { cause?: { code?: unknown }; code?: unknown };
  return (
    /^(fetch failed|terminated|Response body is empty|Incomplete JSON segment|exception parsing stream chunk)/.test(
      error.message,
    ) ||
    [code, cause?.code].some(
      (value) => typeof value === 'string' && /^(?!ERR_)(E[A-Z_]+|UND_ERR_\w+)$/.test(value),
    )
  );
}
