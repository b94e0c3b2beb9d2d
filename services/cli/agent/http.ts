/** The requests of commands: errors of the network and of HTTP become messages that say what to do. */
import { CliError } from '../failure.ts';

/** The agent cannot be reached or asks to wait. The request may be repeated if it changes nothing. */
export class TransientError extends CliError {
  /** Seconds that the agent asks to wait. */
  readonly retryAfter: number | undefined;

  constructor(message: string, options: { cause?: unknown; retryAfter?: number } = {}) {
    super(message, options);
    this.retryAfter = options.retryAfter;
  }
}

const transientStatuses = [408, 429, 502, 503, 504];

/**
 * The `fetch` of all commands. Redirects are not followed, because they could take a key to another host.
 *
 * @throws {TransientError} without a response, or with a status that asks to try again
 * @throws {CliError} if the credentials are missing or wrong
 */
export async function request(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const url = new URL(input instanceof Request ? input.url : input);
  let response: Response;
  try {
    response = await fetch(input, { ...init, redirect: 'manual' });
  } catch (error) {
    if (init?.signal?.aborted === true) throw error;
    const reason = getReason(error);
    const hint = reason === 'ECONNREFUSED' && isLocal(url) ? `. ${startHint}` : '';
    throw new TransientError(`no answer from ${url.origin}: ${reason}${hint}`, { cause: error });
  }
  const { status } = response;
  if (transientStatuses.includes(status)) {
    const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
    throw new TransientError(`${url.origin} answered with status ${status}: ${await getMessage(response)}`, {
      ...(retryAfter >= 0 && { retryAfter }),
    });
  }
  if (status >= 300 && status < 400 && status !== 304) {
    const location = response.headers.get('location') ?? 'nowhere';
    throw new CliError(`${url.href} redirects to ${location}: use that address if you trust it`);
  }
  if (status === 401 || status === 403) {
    const detail = await getMessage(response);
    throw new CliError(
      `${url.origin} refused the credentials (status ${status}: ${detail}): set LONGHAUL_API_KEY, or use a profile`,
    );
  }
  return response;
}

const startHint =
  'Nothing listens there: start an agent with longhaul dev, or name another one with --url or LONGHAUL_URL';

function isLocal({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
}

function getReason(error: unknown): string {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? (cause?.message || (error as Error).message);
}

/** Returns the message of an error response of any binding, or the start of its body. */
export async function getMessage(response: Response): Promise<string> {
  const body = await response.text().catch(() => '');
  try {
    const { error, message } = JSON.parse(body) as {
      error?: { message?: string } | string;
      message?: string;
    };
    const found = typeof error === 'string' ? error : (error?.message ?? message);
    if (typeof found === 'string') return found;
  } catch {
    // Not JSON.
  }
  return body.slice(0, 200) || response.statusText;
}
