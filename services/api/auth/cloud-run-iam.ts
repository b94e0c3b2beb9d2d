/**
 * Reads the identity that Cloud Run's IAM check has verified before a request reaches this service. Cloud Run
 * forwards the token without its signature, so it cannot be verified again and its claims are trusted. That
 * is safe only if no request can bypass the check. It is therefore a mode of its own that must be configured
 * by name, and nothing falls back to it. A service that `allUsers` may invoke must not use it.
 */
import { decodeJwt, type JWTPayload } from 'jose';
import { clockSkewSeconds, toCaller, UnauthenticatedError, type AuthenticatedCaller } from './caller.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

const googleIssuer = 'https://accounts.google.com';

/** @param audience the accepted values of the claim `aud` */
export function createCloudRunIam(audience: readonly string[]): (token: string) => AuthenticatedCaller {
  return (token) => {
    const claims = decode(token);
    if (claims.iss !== googleIssuer) {
      throw new UnauthenticatedError(`The token was not issued by Google: use a token of ${googleIssuer}`);
    }
    const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
    if (!audiences.some((value) => value !== undefined && audience.includes(value))) {
      throw new UnauthenticatedError(
        `The token is for another audience: use a token for ${audience.join(' or ')}`,
      );
    }
    if (typeof claims.exp !== 'number')
      throw new UnauthenticatedError('The token has no expiry: the claim exp is required');
    if (claims.exp + clockSkewSeconds <= databaseNow() / 1000) {
      throw new UnauthenticatedError('The token has expired: request a new one');
    }
    return toCaller(claims);
  };
}

function decode(token: string): JWTPayload {
  try {
    return decodeJwt(token);
  } catch {
    throw new UnauthenticatedError('The bearer token is not a JWT');
  }
}
