/**
 * Verifies the signatures of Gemini's webhooks (ai.google.dev/gemini-api/docs/webhooks, 2026-06-22): of those that a call names
 * ("Dynamic webhooks") a JWT under Google's keys, of those that are registered for a project ("Static webhooks") an HMAC as
 * Standard Webhooks describes.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { GeminiWebhookConfig } from '#shared/runtime/config/api.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { HttpRequestError } from '../handler/errors.ts';

/** Google's limit for replays. */
const maxAgeSeconds = 300;
const keysTimeoutMs = 5_000;

/**
 * @param id the `data.id` of the body. A JWT contains the event that it signs, not the body
 * @throws {HttpRequestError} 401 if Google has not signed the event for this address; 503 without its keys
 */
export type VerifyForCall = (headers: IncomingHttpHeaders, url: string, id: unknown) => Promise<void>;

export function createCallVerifier({ jwksUrl, audience, issuer }: GeminiWebhookConfig): VerifyForCall {
  const keys = createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: keysTimeoutMs });
  return async (headers, url, id) => {
    const { signature, now } = readHeaders(headers);
    const { payload } = await jwtVerify(signature, keys, {
      algorithms: ['RS256'],
      audience: audience ?? url,
      ...(issuer !== undefined && { issuer }),
      currentDate: new Date(now * 1000),
    }).catch((error: unknown) => {
      if (isKeyOutage(error)) throw new HttpRequestError(503, "Google's keys cannot be read: try again");
      throw new HttpRequestError(401, `The signature is not valid: ${errorMessage(error)}`);
    });
    if (payload.iat === undefined ? payload.exp === undefined : !isRecent(payload.iat, now)) {
      throw new HttpRequestError(401, `The signature must be at most ${maxAgeSeconds} s old`);
    }
    const signed = (payload['data'] as { id?: unknown } | null | undefined)?.id;
    if (signed !== undefined && signed !== id) {
      throw new HttpRequestError(401, 'The signature is of another event than the body');
    }
  };
}

/**
 * @param secrets any of them is accepted, so that they can be rotated
 * @throws {HttpRequestError} 401 if none of them has signed the request
 */
export function verifyForProject(
  headers: IncomingHttpHeaders,
  body: string,
  secrets: readonly string[],
): void {
  const { signature, timestamp } = readHeaders(headers);
  const id = headers['webhook-id'];
  if (typeof id !== 'string') throw new HttpRequestError(401, 'Webhook-Id is missing');
  const signatures = signature
    .split(' ')
    .flatMap((entry) => (entry.startsWith('v1,') ? [entry.slice(3)] : []));
  for (const secret of secrets) {
    const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
    const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest();
    for (const encoded of signatures) {
      const given = Buffer.from(encoded, 'base64');
      if (given.length === expected.length && timingSafeEqual(given, expected)) return;
    }
  }
  throw new HttpRequestError(401, 'The signature is not valid: no secret of GEMINI_WEBHOOK_SECRETS matches');
}

/** @throws {HttpRequestError} 401 if they are missing, or too old */
function readHeaders(headers: IncomingHttpHeaders): { signature: string; timestamp: string; now: number } {
  const { 'webhook-signature': signature, 'webhook-timestamp': timestamp } = headers;
  if (typeof signature !== 'string') throw new HttpRequestError(401, 'Webhook-Signature is missing');
  const now = databaseNow() / 1000;
  if (typeof timestamp !== 'string' || !isRecent(Number(timestamp), now)) {
    throw new HttpRequestError(401, `Webhook-Timestamp must be within ${maxAgeSeconds} s`);
  }
  return { signature, timestamp, now };
}

function isRecent(seconds: number, now: number): boolean {
  return Math.abs(now - seconds) <= maxAgeSeconds;
}

/** True if the keys could not be read, so that nothing is known about the signature. */
function isKeyOutage(error: unknown): boolean {
  return (
    error instanceof errors.JWKSTimeout ||
    !(error instanceof errors.JOSEError) ||
    error.code === 'ERR_JOSE_GENERIC'
  );
}
