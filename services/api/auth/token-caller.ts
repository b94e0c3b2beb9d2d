/** The callers that verified tokens identify. */
import type { JWTPayload } from 'jose';
import { ownScopes } from '#shared/domain/scopes.ts';
import type { AuthenticatedCaller } from './caller.ts';
import { UnauthenticatedError } from './errors.ts';
import { Credential } from './credential.ts';

/** Tolerated difference between an issuer's clock and ours. */
export const clockSkewSeconds = 30;

/**
 * Returns the caller that verified claims identify. Subjects are unique per issuer only, so the name contains
 * both.
 *
 * @throws {UnauthenticatedError} if the subject is missing, longer than 255 characters, or not printable
 *   ASCII
 */
export function toCaller({ iss, sub, exp }: JWTPayload): AuthenticatedCaller {
  if (typeof sub !== 'string' || sub === '' || sub.length > 255 || /[^\u0020-\u007e]/.test(sub)) {
    throw new UnauthenticatedError(
      'The token has no usable subject: sub must be 1 to 255 printable ASCII characters (OpenID Connect)',
    );
  }
  const expiresAt = exp === undefined ? undefined : 1000 * (exp + clockSkewSeconds);
  return {
    isAuthenticated: true,
    userName: `${iss}|${sub}`,
    scopes: ownScopes,
    credential: new Credential(expiresAt, 'The token has expired: request a new one'),
    issuer: iss,
  };
}
