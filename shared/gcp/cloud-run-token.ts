/**
 * Identity tokens that Cloud Run's IAM check has verified before a request reaches a service. Cloud Run replaces
 * their signature, so they cannot be verified again: their claims are trusted, and only that of the header that
 * Cloud Run has checked. If both headers are sent, it checks X-Serverless-Authorization alone, and passes the other
 * through (https://docs.cloud.google.com/run/docs/authenticating/service-to-service).
 */
import { decodeJwt, type JWTPayload } from 'jose';
import { databaseNow } from '../runtime/clock.ts';

/** Header names in lower case. A list means that the header was sent several times. */
export type TokenHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Tolerated difference between Google's clock and ours. */
const clockSkewSeconds = 30;
const strippedSignature = 'SIGNATURE_REMOVED_BY_GOOGLE';

/**
 * Returns the claims of the token that Cloud Run has verified, or the problem as a sentence that contains no part of
 * the token. Undefined: the deciding header was not sent.
 *
 * @param issuers accepted values of `iss`
 * @param audiences accepted values of `aud`
 */
export function readCloudRunToken(
  headers: TokenHeaders,
  { issuers, audiences }: { issuers: readonly string[]; audiences: readonly string[] },
): { claims: JWTPayload } | { problem: string } | undefined {
  const name =
    headers['x-serverless-authorization'] === undefined ? 'Authorization' : 'X-Serverless-Authorization';
  const value = headers[name.toLowerCase()];
  if (value === undefined) return undefined;
  const [, token, signature] = /^bearer +([\w-]+\.[\w-]+\.([\w-]*)) *$/i.exec(toText(value)) ?? [];
  if (token === undefined) {
    return { problem: `The header ${name} has no identity token: send it once, as Bearer TOKEN` };
  }
  if (signature !== strippedSignature) {
    return { problem: 'The token was not verified by Cloud Run: is the IAM check of the service disabled?' };
  }
  const claims = decode(token);
  const problem = claims === undefined ? 'The token is not a JWT' : findProblem(claims, issuers, audiences);
  return claims === undefined || problem !== undefined ? { problem: problem ?? '' } : { claims };
}

/** Several values never match the pattern of one. */
function toText(value: string | string[]): string {
  return typeof value === 'string' ? value : value.join(',');
}

function decode(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

function findProblem(
  claims: JWTPayload,
  issuers: readonly string[],
  audiences: readonly string[],
): string | undefined {
  const { iss, aud, exp, nbf, iat, email } = claims;
  const now = databaseNow() / 1000;
  if (!issuers.includes(iss ?? '')) return `The token was not issued by Google: use a token of ${issuers[0]}`;
  if (typeof aud !== 'string' || aud === '' || !audiences.includes(aud)) {
    return `The token is for another audience: use a token for ${audiences.join(' or ')}`;
  }
  // Tokens of service accounts may have no email.
  if (email !== undefined && claims['email_verified'] !== true)
    return 'The email of the token is not verified';
  if (typeof exp !== 'number') return 'The token has no expiry: the claim exp is required';
  if (exp + clockSkewSeconds <= now) return 'The token has expired: request a new one';
  for (const from of [nbf, iat]) {
    const isValid = from === undefined || (typeof from === 'number' && from - clockSkewSeconds <= now);
    if (!isValid) return 'The token is not valid yet';
  }
  return undefined;
}
