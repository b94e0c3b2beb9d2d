/**
 * Takes Gemini's webhooks (docs/gemini.md): `POST /gemini/webhooks/{token}`. A report is believed if the token names a
 * wait and Google has signed it for this address within five minutes (ai.google.dev/gemini-api/docs/webhooks,
 * "Dynamic webhooks", 2026-06-22). It only makes a worker ask Gemini sooner, so a repeated one is accepted without effect.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { reportModelCall } from '#shared/db/turns/model-waits.ts';
import type { Json } from '#shared/domain/message.ts';
import { createGeminiWebhookUrl, geminiWebhooksPath } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { GeminiWebhookConfig } from '#shared/runtime/config/api.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { HttpRequestError } from '../handler/errors.ts';
import { readText } from '../http/body.ts';
import { plainFailure, sendFailure } from '../http/failure.ts';
import type { CallbackRoutesParts } from './routes.ts';

export interface GeminiWebhookParts extends Omit<CallbackRoutesParts, 'recorder'> {
  publicUrl: string;
  settings: GeminiWebhookConfig;
}

const maxBodyBytes = 16 * 1024;
/** Google's limit for replays. */
const maxAgeSeconds = 300;
/** The longest id of an interaction that is taken. */
const maxIdChars = 512;
const keysTimeoutMs = 5_000;

const reportedTypes = new Set([
  'interaction.completed',
  'interaction.failed',
  'interaction.requires_action',
  'interaction.cancelled',
]);

export function registerGeminiWebhooks(app: FastifyInstance, parts: GeminiWebhookParts): void {
  const { db, outbox, wakeupGraceSeconds, failures, log, publicUrl, settings } = parts;
  const keys = createRemoteJWKSet(new URL(settings.jwksUrl), { timeoutDuration: keysTimeoutMs });
  const url = `${geminiWebhooksPath}/:token`;

  /** @throws {HttpRequestError} 401 if Google has not signed the request for this address; 503 without its keys */
  async function verify(request: FastifyRequest, token: string): Promise<void> {
    const { 'webhook-signature': signature, 'webhook-timestamp': timestamp } = request.headers;
    if (typeof signature !== 'string') throw new HttpRequestError(401, 'Webhook-Signature is missing');
    const now = databaseNow() / 1000;
    if (!isRecent(Number(timestamp), now)) {
      throw new HttpRequestError(401, `Webhook-Timestamp must be within ${maxAgeSeconds} s`);
    }
    const { payload } = await jwtVerify(signature, keys, {
      algorithms: ['RS256'],
      audience: settings.audience ?? createGeminiWebhookUrl(publicUrl, token),
      ...(settings.issuer !== undefined && { issuer: settings.issuer }),
      currentDate: new Date(now * 1000),
    }).catch((error: unknown) => {
      if (isKeyOutage(error)) throw new HttpRequestError(503, "Google's keys cannot be read: try again");
      throw new HttpRequestError(401, `The signature is not valid: ${errorMessage(error)}`);
    });
    if (payload.iat === undefined ? payload.exp === undefined : !isRecent(payload.iat, now)) {
      throw new HttpRequestError(401, `The signature must be at most ${maxAgeSeconds} s old`);
    }
  }

  app.post<{ Params: { token: string } }>(url, { bodyLimit: maxBodyBytes }, async (request, reply) => {
    const { token } = request.params;
    void reply.header('content-type', 'application/json').header('cache-control', 'no-store');
    try {
      failures.check(request.headers, () => request.ip);
      await verify(request, token).catch((error: unknown) => {
        if (!(error instanceof HttpRequestError) || error.statusCode !== 401) throw error;
        failures.recordFailure(request.ip, 'gemini webhook');
        log.warn({ reason: error.message }, 'gemini webhook refused');
        throw error;
      });
      const interaction = readInteraction(readText(request));
      const wakeups = await reportModelCall(db, { wakeupGraceSeconds }, { token, interaction });
      if (wakeups === undefined) {
        failures.recordFailure(request.ip, 'unknown gemini webhook');
        throw new HttpRequestError(404, 'No call of a model waits for this webhook');
      }
      outbox.publish(wakeups);
      return await reply.send(accepted);
    } catch (error) {
      return sendFailure(reply, log, error, plainFailure);
    }
  });
}

const accepted = JSON.stringify({ status: 'received' });

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

/** @throws {HttpRequestError} if the body is not an event of an interaction */
function readInteraction(text: string): string {
  let event: Json = null;
  try {
    event = JSON.parse(text) as Json;
  } catch {
    // Reported below.
  }
  const { type, data } = (event ?? {}) as { type?: Json; data?: { id?: Json } | null };
  const id = data?.id;
  const known = typeof type === 'string' && reportedTypes.has(type);
  if (known && typeof id === 'string' && id !== '' && id.length <= maxIdChars) return id;
  throw new HttpRequestError(400, `The body must be an event ${[...reportedTypes].join(', ')} with data.id`);
}
