/**
 * What went wrong in a call of the model, sorted by what helps: `transient` (overload, quota, network: try again, then
 * park), `fatal` (no repetition helps), `unknown` (counts as an attempt of the turn).
 */
import { ApiError } from '@google/genai';

export type Failure =
  /** `refused`: by the model, before it did anything; `hintMs`: it asks for so much patience. */
  | { kind: 'transient'; message: string; refused: boolean; hintMs: number | undefined }
  | { kind: 'fatal'; message: string }
  | { kind: 'unknown'; message: string };

/** The stream ended before the model said why it stopped. */
export class StreamCutError extends Error {
  override readonly name = 'StreamCutError';
}

/** Messages are for clients: no addresses, keys or stacks. */
export function toFailure(error: unknown, about: { model: string; retryAfter: string | null }): Failure {
  if (error instanceof ApiError) return failureOfApi(error, about);
  if (isNetworkError(error)) {
    return {
      kind: 'transient',
      message: 'The model cannot be reached.',
      refused: false,
      hintMs: undefined,
    };
  }
  return { kind: 'unknown', message: 'The model could not be called.' };
}

function failureOfApi(
  error: ApiError,
  { model, retryAfter }: { model: string; retryAfter: string | null },
): Failure {
  const { status } = error;
  const { message, reasons, retryDelayMs } = detailsOf(error);
  const hintMs = retryDelayMs ?? retryAfterMs(retryAfter);
  switch (status) {
    case 408:
    case 429:
    case 499:
      return {
        kind: 'transient',
        message:
          status === 429 ? "The model's quota is used up for now." : 'The model did not answer in time.',
        refused: status === 429,
        hintMs,
      };
    case 401:
    case 403:
      return { kind: 'fatal', message: CREDENTIALS };
    case 404:
      return { kind: 'fatal', message: `The model "${model}" is not available to this agent.` };
    case 413:
      return { kind: 'fatal', message: 'The request is too large for the model.' };
    default:
      if (status >= 500)
        return {
          kind: 'transient',
          message: 'The model is overloaded or out of order for now.',
          refused: status === 503,
          hintMs,
        };
      if (reasons.includes('API_KEY_INVALID') || /api key/i.test(message))
        return { kind: 'fatal', message: CREDENTIALS };
      return { kind: 'fatal', message: `The model refused the request: ${message}` };
  }
}

const CREDENTIALS = 'The agent is not permitted to use its model; its operator has to check the credentials.';
const MAX_MESSAGE_CHARACTERS = 500;

interface Details {
  message: string;
  reasons: string[];
  retryDelayMs: number | undefined;
}

/** The SDK puts Google's error JSON into the message, after words of its own for an error within a stream. */
function detailsOf(error: ApiError): Details {
  interface GoogleErrorBody {
    error?: { message?: string; details?: { reason?: string; retryDelay?: string }[] };
  }
  let body: GoogleErrorBody = {};
  try {
    body = JSON.parse(error.message.slice(Math.max(0, error.message.indexOf('{')))) as GoogleErrorBody;
  } catch {
    // Not from Google: a proxy's page, say.
  }
  const { message, details = [] } = body.error ?? {};
  const delays = details.map(({ retryDelay }) => /^([\d.]+)s$/.exec(retryDelay ?? '')?.[1]);
  const delay = delays.find((seconds) => seconds !== undefined);
  return {
    message: (message ?? `status ${error.status}`).slice(0, MAX_MESSAGE_CHARACTERS),
    reasons: details.flatMap(({ reason }) => reason ?? []),
    retryDelayMs: delay === undefined ? undefined : Number(delay) * 1000,
  };
}

/** Seconds or a date (RFC 9110 section 10.2.3). */
function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
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
