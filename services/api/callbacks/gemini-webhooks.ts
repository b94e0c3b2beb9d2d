/**
 * Takes Gemini's webhooks (docs/develop/gemini.md). A report is believed if Google has signed it within five minutes, and its token
 * names a wait (gemini-signatures.ts). It only makes a worker ask Gemini sooner, so a repeated one is accepted without effect.
 *
 *   POST /gemini/webhooks/{token}   the webhook that a call names
 *   POST /gemini/webhooks           one that is registered for the project; the token is in its metadata
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { reportBatch } from '#shared/db/models/batches.ts';
import { reportModelCall } from '#shared/db/turns/waits/model-waits.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { Wakeup } from '#shared/domain/wakeup.ts';
import { createGeminiWebhookUrl, geminiWebhooksPath, webhookTokenKey } from '#shared/domain/wait.ts';
import type { GeminiWebhookConfig } from '#shared/runtime/config/api.ts';
import { HttpRequestError } from '../handler/errors.ts';
import { readText } from '../http/body.ts';
import { plainFailure, sendFailure } from '../http/failure.ts';
import { createCallVerifier, verifyForProject } from './gemini-signatures.ts';
import type { CallbackRoutesParts } from './routes.ts';

export interface GeminiWebhookParts extends Omit<CallbackRoutesParts, 'recorder'> {
  publicUrl: string;
  settings: GeminiWebhookConfig;
}

const maxBodyBytes = 16 * 1024;
/** The longest id of an interaction that is taken. */
const maxIdChars = 512;

export function registerGeminiWebhooks(app: FastifyInstance, parts: GeminiWebhookParts): void {
  const { db, outbox, wakeupGraceSeconds, failures, log, publicUrl, settings } = parts;
  const verifyForCall = createCallVerifier(settings);

  /**
   * @param options.isShared the webhook reports calls of other programs too, so it has to accept them: Google disables a
   *   webhook whose deliveries fail (ai.google.dev/api/webhooks, `state`)
   * @param options.verify returns the token of the wait
   */
  const handle = async (
    request: FastifyRequest,
    reply: FastifyReply,
    { isShared, verify }: { isShared: boolean; verify: (event: GeminiEvent) => Promise<string | undefined> },
  ): Promise<FastifyReply> => {
    void reply.header('content-type', 'application/json').header('cache-control', 'no-store');
    try {
      failures.check(request.headers, () => request.ip);
      const event = readEvent(readText(request));
      const token = await verify(event).catch((error: unknown) => {
        if (!(error instanceof HttpRequestError) || error.statusCode !== 401) throw error;
        failures.recordFailure(request.ip, 'gemini webhook');
        log.warn({ reason: error.message }, 'gemini webhook refused');
        throw error;
      });
      const wakeups = token === undefined ? undefined : await report(event, token);
      if (wakeups !== undefined) outbox.publish(wakeups);
      // Google sends it from an address that reports other calls, so it counts as no failed authentication.
      else if (!isShared) throw new HttpRequestError(404, 'No call of a model waits for this webhook');
      return await reply.send(accepted);
    } catch (error) {
      return sendFailure(reply, log, error, plainFailure);
    }
  };

  /** A batch is polled soon by a worker. @returns undefined if the token is of no call and no batch */
  const report = async (event: GeminiEvent, token: string): Promise<Wakeup[] | undefined> => {
    if (!isOfBatch(event)) {
      const interaction = getInteraction(event);
      return reportModelCall(db, { wakeupGraceSeconds }, { token, interaction });
    }
    return (await reportBatch(db, token)) ? [] : undefined;
  };

  const options = { bodyLimit: maxBodyBytes };
  app.post<{ Params: { token: string } }>(`${geminiWebhooksPath}/:token`, options, (request, reply) => {
    const { token } = request.params;
    const verify = async ({ data }: GeminiEvent): Promise<string> => {
      await verifyForCall(request.headers, createGeminiWebhookUrl(publicUrl, token), data?.id);
      return token;
    };
    return handle(request, reply, { isShared: false, verify });
  });
  if (settings.secrets.length === 0) return;
  app.post(geminiWebhooksPath, options, (request, reply) => {
    const verify = async (event: GeminiEvent): Promise<string | undefined> => {
      verifyForProject(request.headers, readText(request), settings.secrets);
      return getToken(event);
    };
    return handle(request, reply, { isShared: true, verify });
  });
}

const accepted = JSON.stringify({ status: 'received' });

/** The event as it was sent; what this service needs of it is checked when it is read. */
type GeminiEvent = JsonObject & { data?: { id?: Json } | null };

/** @throws {HttpRequestError} if the body is not an event */
function readEvent(text: string): GeminiEvent {
  try {
    const event = JSON.parse(text) as Json;
    if (typeof event === 'object' && event !== null && !Array.isArray(event)) return event;
  } catch {
    // Reported below.
  }
  throw new HttpRequestError(400, 'The body must be an event of Gemini, as JSON');
}

/** Google's pages name several ends of batches, not all of them everywhere. Which one it is does not matter. */
function isOfBatch({ type }: GeminiEvent): boolean {
  return typeof type === 'string' && type.startsWith('batch.');
}

/** Which event it is does not matter. @throws {HttpRequestError} if it is not one of an interaction */
function getInteraction({ type, data }: GeminiEvent): string {
  const id = data?.id;
  const isKnown = typeof type === 'string' && type.startsWith('interaction.');
  if (isKnown && typeof id === 'string' && id !== '' && id.length <= maxIdChars) return id;
  throw new HttpRequestError(400, 'The body must be an event batch.…, or interaction.… with data.id');
}

/** Google's pages do not show where `user_metadata` is in an event, so both places are read. */
function getToken({ user_metadata: metadata, data }: GeminiEvent): string | undefined {
  for (const found of [metadata, (data as JsonObject | null | undefined)?.['user_metadata']]) {
    const token = (found as JsonObject | null | undefined)?.[webhookTokenKey];
    if (typeof token === 'string') return token;
  }
  return undefined;
}
