/** Authenticated callers, and the error for credentials that are missing or wrong. */
import type { User } from '@a2a-js/sdk/server';
import type { JWTPayload } from 'jose';

/** Header names in lower case, as Node and gRPC deliver them. */
export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** `userName` is the owner of everything the caller creates: `key:<owner>`, or `<issuer>|<subject>`. */
export type AuthenticatedCaller = Readonly<User>;

/**
 * Credentials are missing or wrong: HTTP 401. The message is for clients and never contains the credentials.
 */
export class UnauthenticatedError extends Error {
  override readonly name = 'UnauthenticatedError';
  readonly statusCode = 401;
  /** Values of `WWW-Authenticate` (RFC 9110, section 11.6.1). */
  challenges: readonly string[] = [];
}

/** Tolerated difference between an issuer's clock and ours. */
export const clockSkewSeconds = 30;

/**
 * Returns the caller that verified claims identify. Subjects are unique per issuer only, so the name contains
 * both.
 *
 * @throws {UnauthenticatedError} if the subject is missing, longer than 255 characters, or not printable
 *   ASCII
 */
export function toCaller({ iss, sub }: JWTPayload): AuthenticatedCaller {
  if (typeof sub !== 'string' || sub === '' || sub.length > 255 || /[^\u0020-\u007e]/.test(sub)) {
    throw new UnauthenticatedError(
      'The token has no usable subject: sub must be 1 to 255 printable ASCII characters (OpenID Connect)',
    );
  }
  return { isAuthenticated: true, userName: `${iss}|${sub}` };
}
