/**
 * Verifies bearer tokens of OpenID Connect issuers with the keys that the issuers publish. Keys are fetched
 * on first use and cached. A token with an unknown key id triggers a refetch, at most once in 30 s, and a
 * failed fetch is repeated at most once in 2 s, so forged tokens cause no load on the issuer.
 */
import { createRemoteJWKSet, customFetch, decodeJwt, errors, jwtVerify, type JWTVerifyGetKey } from 'jose';
import type { JwtIssuer } from '#shared/runtime/config/auth.ts';
import { UnavailableError } from '../handler/errors.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { AuthenticatedCaller } from './caller.ts';
import { UnauthenticatedError } from './errors.ts';
import { clockSkewSeconds, toCaller } from './token-caller.ts';

/** Asymmetric algorithms only: with a symmetric one, every verifier could also sign. */
const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'];
const fetchTimeoutMs = 5_000;
const cooldownMs = 30_000;
/** `Retry-After` of the error. */
const failureCooldownMs = 2_000;

export function createJwtVerifier(
  issuers: readonly JwtIssuer[],
): (token: string) => Promise<AuthenticatedCaller> {
  const known = new Map(issuers.map((entry) => [entry.issuer, { ...entry, keys: createKeySource(entry) }]));
  return async (token) => {
    const issuer = known.get(parseIssuer(token));
    if (issuer === undefined) {
      throw new UnauthenticatedError(
        `The issuer of the token is not trusted: use a token of ${[...known.keys()].join(' or ')}`,
      );
    }
    try {
      const { payload } = await jwtVerify(token, await issuer.keys(), {
        issuer: issuer.issuer,
        audience: issuer.audience,
        algorithms,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(databaseNow()),
        clockTolerance: clockSkewSeconds,
      });
      return toCaller(payload);
    } catch (error) {
      throw toTokenError(error);
    }
  };
}

function parseIssuer(token: string): string {
  try {
    return decodeJwt(token).iss ?? '';
  } catch {
    throw new UnauthenticatedError('The bearer token is not a JWT');
  }
}

/** Returns a getter for the issuer's keys; without `jwksUrl`, its first call discovers the URL. */
function createKeySource({ issuer, jwksUrl }: JwtIssuer): () => Promise<JWTVerifyGetKey> {
  const fetchOnce = createCooledFetch();
  const remote = (url: string): JWTVerifyGetKey =>
    createRemoteJWKSet(new URL(url), {
      cooldownDuration: cooldownMs,
      timeoutDuration: fetchTimeoutMs,
      [customFetch]: fetchOnce,
    });
  if (jwksUrl !== undefined) {
    const keys = Promise.resolve(remote(jwksUrl));
    return () => keys;
  }
  let keys: Promise<JWTVerifyGetKey> | undefined;
  return () => {
    if (keys !== undefined) return keys;
    const discovery = discoverJwksUrl(issuer, fetchOnce).then(remote);
    keys = discovery;
    // The next token after the cooldown tries again, even if the document was fetched but is not valid.
    discovery.catch(() => setTimeout(() => (keys = undefined), failureCooldownMs).unref());
    return keys;
  };
}

type Fetch = (url: string, options: RequestInit) => Promise<Response>;

/** Returns a `fetch` that fails at once for a while after it has failed. */
function createCooledFetch(): Fetch {
  let failed: { error: unknown; at: number } | undefined;
  return async (url, options) => {
    if (failed !== undefined && performance.now() - failed.at < failureCooldownMs) throw failed.error;
    try {
      const response = await fetch(url, options);
      if (!response.ok) throw new Error(`${url} returned ${response.status}`);
      return response;
    } catch (error) {
      failed = { error, at: performance.now() };
      throw error;
    }
  };
}

/** OpenID Connect Discovery 1.0, section 4. */
async function discoverJwksUrl(issuer: string, fetchOnce: Fetch): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetchOnce(url, { redirect: 'error', signal: AbortSignal.timeout(fetchTimeoutMs) });
  const configuration = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (configuration.issuer !== issuer || typeof configuration.jwks_uri !== 'string') {
    throw new Error(`${url} is not the OpenID configuration of ${issuer}`);
  }
  return configuration.jwks_uri;
}

/**
 * An invalid token is the caller's error, which the message describes. Keys that cannot be fetched make the
 * service unavailable.
 */
function toTokenError(error: unknown): Error {
  if (error instanceof UnauthenticatedError) return error;
  if (error instanceof errors.JWTExpired)
    return new UnauthenticatedError('The token has expired: request a new one');
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new UnauthenticatedError(`The claim ${error.claim} of the token is missing or not valid`);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return new UnauthenticatedError(
      `The signing algorithm of the token is not accepted: use one of ${algorithms.join(', ')}`,
    );
  }
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
    return new UnauthenticatedError('The signature of the token does not match the keys of its issuer');
  }
  const aboutKeys = error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid;
  if (error instanceof errors.JOSEError && error.code !== 'ERR_JOSE_GENERIC' && !aboutKeys) {
    return new UnauthenticatedError('The bearer token is not a valid JWT');
  }
  return new UnavailableError('The keys of the token issuer are unavailable. Try again in a few seconds.', {
    cause: error,
  });
}
