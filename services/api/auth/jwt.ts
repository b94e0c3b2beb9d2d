/**
 * Bearer tokens of OpenID Connect issuers, verified with the keys that the issuers publish. Keys are fetched when they
 * are first needed and kept; a token with an unknown key leads to a new look, at most one in 30 s, so that tokens that
 * are made up do not become a load on the issuer.
 */
import { createRemoteJWKSet, decodeJwt, errors, jwtVerify, type JWTVerifyGetKey } from 'jose';
import type { JwtIssuer } from '#shared/runtime/config/auth.ts';
import { UnavailableError } from '../handler/errors.ts';
import { UnauthenticatedError, type AuthenticatedCaller } from './caller.ts';
import { toCaller, clockSkewSeconds } from './claims.ts';

/** Asymmetric ones alone: with a symmetric one, whoever can verify could also sign. */
const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'];
const fetchTimeoutMs = 5_000;
const cooldownMs = 30_000;

export function createJwtVerifier(
  issuers: readonly JwtIssuer[],
): (token: string) => Promise<AuthenticatedCaller> {
  const known = new Map(issuers.map((one) => [one.issuer, { ...one, keys: keysOf(one) }]));
  return async (token) => {
    const issuer = known.get(issuerOf(token));
    if (issuer === undefined) throw new UnauthenticatedError('The token is of an issuer that is not trusted');
    try {
      const { payload } = await jwtVerify(token, await issuer.keys(), {
        issuer: issuer.issuer,
        audience: issuer.audience,
        algorithms,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: clockSkewSeconds,
      });
      return toCaller(payload);
    } catch (error) {
      throw toCallersError(error);
    }
  };
}

function issuerOf(token: string): string {
  try {
    return decodeJwt(token).iss ?? '';
  } catch {
    throw new UnauthenticatedError('The bearer token is not a JWT');
  }
}

function keysOf({ issuer, jwksUrl }: JwtIssuer): () => Promise<JWTVerifyGetKey> {
  const remote = (url: string): JWTVerifyGetKey =>
    createRemoteJWKSet(new URL(url), { cooldownDuration: cooldownMs, timeoutDuration: fetchTimeoutMs });
  if (jwksUrl !== undefined) {
    const keys = Promise.resolve(remote(jwksUrl));
    return () => keys;
  }
  let found: Promise<JWTVerifyGetKey> | undefined;
  return () => {
    found ??= discoverJwksUrl(issuer).then(remote);
    // A failure is not kept: the next token tries again.
    found.catch(() => (found = undefined));
    return found;
  };
}

/** OpenID Connect Discovery 1.0, section 4. */
async function discoverJwksUrl(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(fetchTimeoutMs) });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  const found = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (found.issuer !== issuer || typeof found.jwks_uri !== 'string') {
    throw new Error(`${url} is not the configuration of ${issuer}`);
  }
  return found.jwks_uri;
}

/** What is wrong with the token is told; what is wrong with the way to the keys is not the caller's fault. */
function toCallersError(error: unknown): Error {
  if (error instanceof UnauthenticatedError) return error;
  if (error instanceof errors.JWTExpired) return new UnauthenticatedError('The token has expired');
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new UnauthenticatedError(
      `The token is refused: its claim ${error.claim} is missing or not as it must be`,
    );
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return new UnauthenticatedError(
      `The token is signed in a way that is not taken: use ${algorithms.join(', ')}`,
    );
  }
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
    return new UnauthenticatedError('The signature of the token is not one of its issuer');
  }
  const aboutKeys = error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid;
  if (error instanceof errors.JOSEError && error.code !== 'ERR_JOSE_GENERIC' && !aboutKeys) {
    return new UnauthenticatedError('The bearer token is not a JWT that can be verified');
  }
  return new UnavailableError('The keys of the token’s issuer cannot be had for the moment. Try again.', {
    cause: error,
  });
}
