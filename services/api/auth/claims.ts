/** What is common to tokens, whoever has checked their signature. */
import type { JWTPayload } from 'jose';
import { UnauthenticatedError, type AuthenticatedCaller } from './caller.ts';

/** How far the clocks of issuers may be off. */
export const clockSkewSeconds = 30;

/** An issuer's subjects are its own: the two together name a caller. */
export function toCaller({ iss, sub }: JWTPayload): AuthenticatedCaller {
  if (typeof sub !== 'string' || sub === '' || sub.length > 255 || /[^\u0020-\u007e]/.test(sub)) {
    throw new UnauthenticatedError(
      'The token has no usable subject: sub must be printable ASCII (OpenID Connect)',
    );
  }
  return { isAuthenticated: true, userName: `${iss}|${sub}` };
}
