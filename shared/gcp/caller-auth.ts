/**
 * Who may call a private service: by the identity token that Cloud Tasks and Cloud Scheduler send. A mode is named, and
 * there is no falling back from one to another:
 *
 *   iam      Cloud Run has checked the token and taken its signature away. Claims are checked here once more, so that a
 *            service account that may call the service for one purpose may not call it for all. A token that still has
 *            its signature was not checked by Cloud Run, and is refused.
 *   verify   signature, by Google's keys, and claims are checked here: for a service that Cloud Run does not guard.
 *   none     everybody may call: on one machine only.
 *
 * In both: issuer Google, the audience, the exact service account, its verified email, and the time. The audience is
 * never optional, and no token stands in an error.
 */
import { createRemoteJWKSet, decodeJwt, errors, jwtVerify, type JWTPayload } from 'jose';
import type { CallerAuthConfig } from '../runtime/config/callers.ts';

/** The caller is not who may call. The message says why, for the log; the caller is told nothing. */
export class CallerError extends Error {
  override readonly name = 'CallerError';
}

/**
 * @param authorization the header as it came
 * @param email of the one service account that may call
 * @throws {CallerError}
 */
export type CheckCaller = (authorization: string | undefined, email: string) => Promise<void>;

const issuers = ['https://accounts.google.com', 'accounts.google.com'];
const clockSkewSeconds = 30;
const strippedSignature = 'SIGNATURE_REMOVED_BY_GOOGLE';

export function createCheckCaller(config: CallerAuthConfig): CheckCaller {
  const { mode } = config;
  if (mode === 'none') return async () => Promise.resolve();
  if (mode === 'iam') {
    return async (authorization, email) => {
      const token = bearer(authorization);
      if (token.split('.')[2] !== strippedSignature) {
        throw new CallerError('the token was not checked by Cloud Run: is the IAM check of the service off?');
      }
      checkClaims(decode(token), config.audience, email);
    };
  }
  const keys = createRemoteJWKSet(new URL(config.certsUrl), { timeoutDuration: 5_000 });
  return async (authorization, email) => {
    const { payload } = await verified(bearer(authorization), keys, config.audience);
    checkClaims(payload, config.audience, email);
  };
}

type Keys = ReturnType<typeof createRemoteJWKSet>;

/** @throws {Error} other than CallerError where Google's keys cannot be had: the call is worth another try */
async function verified(token: string, keys: Keys, audience: string): Promise<{ payload: JWTPayload }> {
  try {
    return await jwtVerify(token, keys, {
      algorithms: ['RS256'],
      issuer: issuers,
      audience,
      clockTolerance: clockSkewSeconds,
      requiredClaims: ['exp', 'iat', 'email'],
    });
  } catch (error) {
    if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError)) {
      throw new Error('the keys of Google could not be fetched', { cause: error });
    }
    throw new CallerError(`the token is not valid (${error.code})`);
  }
}

function bearer(authorization: string | undefined): string {
  const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(authorization ?? '') ?? [];
  if (token === undefined) throw new CallerError('there is no identity token in the Authorization header');
  return token;
}

function decode(token: string): JWTPayload {
  try {
    return decodeJwt(token);
  } catch {
    throw new CallerError('the token is not a JWT');
  }
}

function checkClaims(claims: JWTPayload, audience: string, email: string): void {
  const now = Date.now() / 1000;
  if (audience === '' || claims.aud !== audience) throw new CallerError('the token is for another audience');
  if (email === '' || claims['email'] !== email)
    throw new CallerError('the caller is not the service account');
  if (claims['email_verified'] !== true) throw new CallerError('the email of the caller is not verified');
  if (!issuers.includes(claims.iss ?? '')) throw new CallerError('the token is not from Google');
  if (typeof claims.exp !== 'number' || claims.exp + clockSkewSeconds <= now) {
    throw new CallerError('the token has expired');
  }
  if (typeof claims.iat !== 'number' || claims.iat - clockSkewSeconds > now) {
    throw new CallerError('the token is from the future');
  }
}
