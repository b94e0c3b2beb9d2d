/**
 * Verifies access tokens of Google accounts. They are opaque, so Google is asked about each token: its client, account and
 * expiry. An answer is remembered for a minute, under the hash of the token: a revoked token is accepted for that long. Tokens
 * are sent to Google in the body of the request, so that no log of addresses has them, and appear in no message.
 */
import { createHash } from 'node:crypto';
import type { GoogleOAuth } from '#shared/runtime/config/auth.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { UnavailableError } from '../handler/errors.ts';
import type { AuthenticatedCaller } from './caller.ts';
import { UnauthenticatedError } from './errors.ts';
import { toCaller } from './token-caller.ts';

/** The issuer of owners, as in Google's identity tokens: one person has the same name with both. */
const issuer = 'https://accounts.google.com';
const rememberMs = 60_000;
const maxRemembered = 10_000;
const timeoutMs = 5_000;
/** After a failure, other tokens fail at once for this long. */
const cooldownMs = 2_000;

/** The used part of an answer of https://oauth2.googleapis.com/tokeninfo. Numbers come as texts. */
interface TokenInfo {
  aud?: unknown;
  sub?: unknown;
  exp?: unknown;
}

interface Remembered {
  caller: Promise<AuthenticatedCaller>;
  until: number;
}

export function createGoogleTokenVerifier({
  audience,
  tokenInfoUrl,
}: GoogleOAuth): (token: string) => Promise<AuthenticatedCaller> {
  const remembered = new Map<string, Remembered>();
  let unavailableUntil = 0;

  return async (token) => {
    // An identity token is meant for another check, and must not be sent to anyone.
    if (token.length > 4096 || /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
      throw new UnauthenticatedError('The token is not an access token of a Google account');
    }
    const key = createHash('sha256').update(token).digest('base64url');
    const now = performance.now();
    const known = remembered.get(key);
    const entry = known !== undefined && known.until > now ? known : remember(key, token, now);
    const caller = await entry.caller;
    caller.credential?.check();
    return caller;
  };

  /** Calls of the same token share one question. A refusal is remembered too; a failure is not. */
  function remember(key: string, token: string, now: number): Remembered {
    const entry = { caller: ask(token), until: now + rememberMs };
    remembered.delete(key);
    remembered.set(key, entry);
    for (const oldest of remembered.keys()) {
      if (remembered.size <= maxRemembered) break;
      remembered.delete(oldest);
    }
    entry.caller.catch((error: unknown) => {
      if (!(error instanceof UnauthenticatedError) && remembered.get(key) === entry) remembered.delete(key);
    });
    return entry;
  }

  async function ask(token: string): Promise<AuthenticatedCaller> {
    if (performance.now() < unavailableUntil) throw toUnavailable(undefined);
    let info: TokenInfo;
    try {
      const response = await fetch(tokenInfoUrl, {
        method: 'POST',
        headers: { accept: 'application/json' },
        body: new URLSearchParams({ access_token: token }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (response.status === 400 || response.status === 401) {
        await response.body?.cancel();
        throw new UnauthenticatedError(
          'The access token is unknown to Google, or has expired: request a new one',
        );
      }
      if (!response.ok) throw new Error(`${tokenInfoUrl} answered ${response.status}`);
      info = (await response.json()) as TokenInfo;
    } catch (error) {
      if (error instanceof UnauthenticatedError) throw error;
      unavailableUntil = performance.now() + cooldownMs;
      throw toUnavailable(error);
    }
    return toVerified(info, audience);
  }
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

function toUnavailable(cause: unknown): UnavailableError {
  return new UnavailableError('Access tokens cannot be verified at the moment. Try again in a few seconds.', {
    cause,
  });
}
