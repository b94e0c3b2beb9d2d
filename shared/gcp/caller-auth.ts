/**
 * Authenticates callers of the private services by the identity tokens that Cloud Tasks, Cloud Scheduler and
 * Pub/Sub send. The mode is configured explicitly, without fallback to another mode:
 *
 *   iam      Cloud Run has verified the token and replaced its signature. The claims are checked again, so that
 *            an account that may call one route cannot call the others. A token with its original signature
 *            was not verified by Cloud Run and is rejected.
 *   verify   Signature (with Google's keys) and claims are verified here, for services outside Cloud Run's IAM.
 *   none     Anyone may call. Only for a single machine.
 *
 * Both `iam` and `verify` check the issuer (Google), the audience, the exact service account, that its email
 * is verified, and the validity period, by the clock of the database. The audience is required. Errors never contain the token.
 */
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from 'jose';
import { databaseNow } from '../runtime/clock.ts';
import type { CallerAuthConfig } from '../runtime/config/callers.ts';
import { readCloudRunToken, type TokenHeaders } from './cloud-run-token.ts';

/** The caller is not allowed. The message states why, for the log only: it is not sent to the caller. */
export class CallerError extends Error {
  override readonly name = 'CallerError';
}

/**
 * @param headers of the request, with names in lower case
 * @param email the only service account that may call
 * @throws {CallerError}
 */
export type CheckCaller = (headers: TokenHeaders, email: string) => Promise<void>;

const issuers = ['https://accounts.google.com', 'accounts.google.com'];
const clockSkewSeconds = 30;

export function createCheckCaller(config: CallerAuthConfig): CheckCaller {
  const { mode } = config;
  if (mode === 'none') return async () => Promise.resolve();
  if (mode === 'iam') {
    return async (headers, email) => {
      const token = readCloudRunToken(headers, { issuers, audiences: [config.audience] });
      if (token === undefined) throw new CallerError('the request has no identity token');
      if ('problem' in token) throw new CallerError(token.problem);
      checkClaims(token.claims, config.audience, email);
    };
  }
  const keys = createRemoteJWKSet(new URL(config.certsUrl), { timeoutDuration: 5_000 });
  return async ({ authorization }, email) => {
    const { payload } = await verifySignature(parseBearer(authorization), keys, config.audience);
    checkClaims(payload, config.audience, email);
  };
}

type Keys = ReturnType<typeof createRemoteJWKSet>;

/** @throws {Error} other than CallerError if Google's keys cannot be fetched: the call may be retried */
async function verifySignature(
  token: string,
  keys: Keys,
  audience: string,
): Promise<{ payload: JWTPayload }> {
  try {
    return await jwtVerify(token, keys, {
      algorithms: ['RS256'],
      issuer: issuers,
      audience,
      currentDate: new Date(databaseNow()),
      clockTolerance: clockSkewSeconds,
      requiredClaims: ['exp', 'iat', 'email'],
    });
  } catch (error) {
    if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError)) {
      throw new Error('could not fetch the keys of Google', { cause: error });
    }
    throw new CallerError(`the token is not valid (${error.code})`);
  }
}

function parseBearer(authorization: string | string[] | undefined): string {
  const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(String(authorization)) ?? [];
  if (token === undefined) throw new CallerError('the Authorization header has no identity token');
  return token;
}

function checkClaims(claims: JWTPayload, audience: string, email: string): void {
  const now = databaseNow() / 1000;
  if (audience === '' || claims.aud !== audience) throw new CallerError('the token is for another audience');
  if (email === '' || claims['email'] !== email)
    throw new CallerError('the caller is not the expected service account');
  if (claims['email_verified'] !== true) throw new CallerError('the email of the caller is not verified');
  if (!issuers.includes(claims.iss ?? '')) throw new CallerError('the token is not from Google');
  if (typeof claims.exp !== 'number' || claims.exp + clockSkewSeconds <= now) {
    throw new CallerError('the token has expired');
  }
  if (typeof claims.iat !== 'number' || claims.iat - clockSkewSeconds > now) {
    throw new CallerError('the token was issued in the future');
  }
}
