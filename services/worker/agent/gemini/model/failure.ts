/**
 * Classifies a failed call of the model by what to do about it: `transient` (overload, quota, network) is
 * retried in place, then parks the task; `fatal` fails the task; `unknown` spends an attempt of the turn.
 */
import { ApiError } from '@google/genai';
import { parseRetryAfter } from '#shared/domain/retry.ts';

export type ModelFailure =
  | {
      kind: 'transient';
      message: string;
      /** The model refused the call before it did any work. */
      refused: boolean;
      /** The wait that the server asks for. */
      retryAfterMs: number | undefined;
    }
  | { kind: 'fatal'; message: string }
  | { kind: 'unknown'; message: string };

/** The stream ended without the model's finish reason. */
export class StreamCutError extends Error {
  override readonly name = 'StreamCutError';
}

/** The messages are for clients and contain no addresses, keys or stack traces. */
export function toModelFailure(
  error: unknown,
  about: { model: string; retryAfter: string | null },
): ModelFailure {
  if (error instanceof ApiError) return toApiFailure(error, about);
  if (isNetworkError(error)) {
    return {
      kind: 'transient',
      message: 'The model cannot be reached.',
      refused: false,
      retryAfterMs: undefined,
    };
  }
  return { kind: 'unknown', message: 'The call of the model failed.' };
}

function toApiFailure(
  error: ApiError,
  { model, retryAfter }: { model: string; retryAfter: string | null },
): ModelFailure {
  const { status } = error;
  const { message, reasons, retryDelayMs } = parseDetails(error);
  const retryAfterMs = retryDelayMs ?? parseRetryAfterMs(retryAfter);
  switch (status) {
    case 408:
    case 429:
    case 499:
      return {
        kind: 'transient',
        message: status === 429 ? quotaMessage : 'The model did not answer in time.',
        refused: status === 429,
        retryAfterMs,
      };
    case 401:
    case 403:
      return { kind: 'fatal', message: credentialsMessage };
    case 404:
      return { kind: 'fatal', message: `The model "${model}" is not available to this agent.` };
    case 413:
      return { kind: 'fatal', message: 'The request is too large for the model.' };
    default:
      if (status >= 500)
        return {
          kind: 'transient',
          message: 'The model is overloaded or temporarily unavailable.',
          refused: status === 503,
          retryAfterMs,
        };
      if (reasons.includes('API_KEY_INVALID') || /api key/i.test(message))
        return { kind: 'fatal', message: credentialsMessage };
      return { kind: 'fatal', message: `The model refused the request: ${message}` };
  }
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
  const seconds = parseRetryAfter(header ?? undefined, Date.now());
  return seconds === undefined ? undefined : seconds * 1000;
}

function isNetworkError(error: unknown): boolean {
  if (error instanceof StreamCutError || error instanceof SyntaxError) return true;
  if (!(error instanceof Error)) return false;
  const { cause } = error as { cause?: { code?: unknown } };
  return (
    /^(fetch failed|terminated|Incomplete JSON segment|exception parsing stream chunk)/.test(error.message) ||
    (typeof cause?.code === 'string' && /^(?!ERR_)(E[A-Z_]+|UND_ERR_\w+)$/.test(cause.code))
  );
}
