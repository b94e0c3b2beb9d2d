/**
 * Identities that Cloud Run's IAM check has verified in front of this service. Cloud Run passes the token on with its
 * signature removed, so that it cannot be verified again: the claims are taken as they are. That is sound only where
 * nobody gets past the check, hence a mode of its own that has to be named, and that nothing falls back to. A service
 * that `allUsers` may invoke must not use it.
 */
import { decodeJwt, type JWTPayload } from 'jose';
import { UnauthenticatedError, type AuthenticatedCaller } from './caller.ts';
import { toCaller, clockSkewSeconds } from './claims.ts';

const googleIssuer = 'https://accounts.google.com';

export function createCloudRunIam(audience: readonly string[]): (token: string) => AuthenticatedCaller {
  return (token) => {
    const claims = decode(token);
    if (claims.iss !== googleIssuer) throw new UnauthenticatedError('The token is not one of Google’s');
    const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
    if (!audiences.some((one) => one !== undefined && audience.includes(one))) {
      throw new UnauthenticatedError('The token is for another audience');
    }
    if (typeof claims.exp !== 'number') throw new UnauthenticatedError('The token has no expiry');
    if (claims.exp + clockSkewSeconds <= Date.now() / 1000) {
      throw new UnauthenticatedError('The token has expired');
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
