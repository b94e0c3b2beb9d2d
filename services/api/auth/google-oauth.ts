/**
 * Verifies access tokens of Google accounts. They are opaque, so Google is asked about each token: its client, account and
 * expiry. An answer is remembered for a minute, under the hash of the token: a revoked token is accepted for that long. A
 * failure concerns the token alone, because callers without credentials choose which tokens Google is asked about. Tokens are
 * sent to Google in the body of the request, so that no log of addresses has them, and appear in no message.
 */
import { createHash } from 'node:crypto';
import type { GoogleOAuth } from '#shared/runtime/config/auth.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { UnavailableError, UnverifiableCredentialError } from '../handler/errors.ts';
import type { AuthenticatedCaller } from './caller.ts';
import { UnauthenticatedError } from './errors.ts';
import { toCaller } from './token-caller.ts';

/** The issuer of owners, as in Google's identity tokens: one person has the same name with both. */
const issuer = 'https://accounts.google.com';
const rememberMs = 60_000;
const timeoutMs = 5_000;
/** After a failure, the same token fails at once for this long. */
const cooldownMs = 2_000;
/** An answer has less than 1 KiB. */
const maxAnswerBytes = 64 * 1024;

const unavailableText = 'Access tokens cannot be verified at the moment. Try again in a few seconds.';

/** The used part of an answer of https://oauth2.googleapis.com/tokeninfo. Numbers come as texts. */
interface TokenInfo {
  aud?: unknown;
  sub?: unknown;
  exp?: unknown;
}

interface Remembered<T> {
  value: T;
  until: number;
}

/** @param maxRemembered of verified tokens, and of refused ones */
export function createGoogleTokenVerifier(
  { audience, tokenInfoUrl }: GoogleOAuth,
  maxRemembered = 10_000,
): (token: string) => Promise<AuthenticatedCaller> {
  const verified = new Map<string, Remembered<AuthenticatedCaller>>();
  // Apart from the verified tokens: anyone can cause refusals, and they must not displace those.
  const refused = new Map<string, Remembered<Error>>();
  const asking = new Map<string, Promise<AuthenticatedCaller>>();

  return async (token) => {
    // An identity token is meant for another check, and must not be sent to anyone. Access tokens may have three segments too.
    if (token.length > 4096 || token.startsWith('eyJ')) {
      throw new UnauthenticatedError('The token is not an access token of a Google account');
    }
    const key = createHash('sha256').update(token).digest('base64url');
    const caller = recall(verified, key) ?? (await verify(key, token));
    caller.credential?.check();
    return caller;
  };

  /** Calls of the same token share one question. */
  function verify(key: string, token: string): Promise<AuthenticatedCaller> {
    const error = recall(refused, key);
    if (error !== undefined) return Promise.reject(error);
    const known = asking.get(key);
    if (known !== undefined) return known;
    const answer = askAndRemember(key, token).finally(() => asking.delete(key));
    asking.set(key, answer);
    return answer;
  }

  async function askAndRemember(key: string, token: string): Promise<AuthenticatedCaller> {
    try {
      const caller = toVerified(await ask(tokenInfoUrl, token), audience);
      remember(verified, key, caller, rememberMs);
      return caller;
    } catch (error) {
      const failure = toFailure(error);
      remember(refused, key, failure, failure instanceof UnauthenticatedError ? rememberMs : cooldownMs);
      throw failure;
    }
  }

  /** Beyond the bound, what has not been used for longest is forgotten. */
  function remember<T>(memory: Map<string, Remembered<T>>, key: string, value: T, ms: number): void {
    memory.set(key, { value, until: performance.now() + ms });
    for (const oldest of memory.keys()) {
      if (memory.size <= maxRemembered) break;
      memory.delete(oldest);
    }
  }
}

/** Returns what is remembered, which then counts as used. */
function recall<T>(memory: Map<string, Remembered<T>>, key: string): T | undefined {
  const found = memory.get(key);
  if (found === undefined) return undefined;
  memory.delete(key);
  if (found.until <= performance.now()) return undefined;
  memory.set(key, found);
  return found.value;
}

async function ask(tokenInfoUrl: string, token: string): Promise<TokenInfo> {
  const response = await fetch(tokenInfoUrl, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({ access_token: token }),
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  const { ok, status } = response;
  if (ok) return parseInfo(await readBounded(response));
  await response.body?.cancel();
  if (status === 400 || status === 401) {
    throw new UnauthenticatedError(
      'The access token is unknown to Google, or has expired: request a new one',
    );
  }
  const cause = new Error(`${tokenInfoUrl} answered ${status}`);
  // 408 and 429 are about the service's requests as a whole.
  const blamesToken = status >= 400 && status < 500 && status !== 408 && status !== 429;
  throw blamesToken ? new UnverifiableCredentialError(unavailableText, { cause }) : cause;
}

async function readBounded({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes)
      throw new Error(`The answer about a token is larger than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseInfo(text: string): TokenInfo {
  const info: unknown = JSON.parse(text);
  if (typeof info !== 'object' || info === null)
    throw new Error('The answer about a token is not a JSON object');
  return info;
}

function toVerified({ aud, sub, exp }: TokenInfo, audience: readonly string[]): AuthenticatedCaller {
  if (typeof aud !== 'string' || !audience.includes(aud)) {
    throw new UnauthenticatedError('The access token was issued to another application');
  }
  if (typeof sub !== 'string') {
    throw new UnauthenticatedError(
      'The access token does not identify its account: request the scope openid',
    );
  }
  const expiry = Number(exp);
  if (!Number.isFinite(expiry) || expiry * 1000 <= databaseNow()) {
    throw new UnauthenticatedError('The access token has expired: request a new one');
  }
  return toCaller({ iss: issuer, sub, exp: expiry });
}

function toFailure(error: unknown): UnauthenticatedError | UnavailableError {
  if (error instanceof UnauthenticatedError || error instanceof UnavailableError) return error;
  return new UnavailableError(unavailableText, { cause: error });
}
