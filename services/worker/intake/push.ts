/**
 * Push mode: Pub/Sub calls the worker, so that it can scale to zero. A request lasts as long as its turn.
 * Before the push deadline (at most 600 s) the turn is released between two steps, with a wake-up for the
 * rest, so that a task that takes hours runs in requests of minutes. A worker without room for any owner
 * answers 429, which makes Pub/Sub slow down and retry.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { CallerError, createCheckCaller } from '#shared/gcp/caller-auth.ts';
import { parseTurn } from '#shared/gcp/pubsub.ts';
import type { PushAuthConfig } from '#shared/runtime/config/callers.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { PushedTurn, RunPushed } from './push-consumer.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

/** Shares of the deadline after which no further step starts, and after which a running step is aborted. */
const releaseShare = 0.8;
const abortShare = 0.95;
const retryAfterSeconds = 5;

export interface PushParts extends PushAuthConfig {
  runPushed: RunPushed;
  onDeadLetter: (taskId: string) => Promise<void>;
  log: Logger;
}

export function registerPush(app: FastifyInstance, parts: PushParts): void {
  const { runPushed, deadlineMs, log } = parts;
  const check = createCheckCaller(parts.auth);
  const onRequest = (request: FastifyRequest): Promise<void> => check(request.headers, parts.account);
  const limits = { releaseAfterMs: deadlineMs * releaseShare, abortAfterMs: deadlineMs * abortShare };

  app.setErrorHandler(async (error, request, reply) => {
    if (error instanceof CallerError) {
      log.warn({ path: request.url, reason: error.message }, 'caller refused');
      return reply.code(403).send({ error: 'caller not allowed' });
    }
    log.warn({ path: request.url, error: errorMessage(error) }, 'push request failed');
    return reply.code(503).send({ error: 'temporarily unavailable, retry later' });
  });

  app.post('/turns', { onRequest }, async (request, reply) => {
    const turn = parsePush(request.body);
    if (turn === undefined) {
      log.error('dropped a pushed message that is not {taskId, turn}');
      return reply.code(204).send();
    }
    const accepted = await runPushed(turn, limits);
    return accepted
      ? reply.code(204).send()
      : reply.code(429).header('retry-after', retryAfterSeconds).send();
  });

  app.post('/dead-letters', { onRequest }, async (request, reply) => {
    const turn = parsePush(request.body);
    if (turn !== undefined) await parts.onDeadLetter(turn.taskId);
    return reply.code(204).send();
  });
}

interface PushedMessage {
  data?: unknown;
  publishTime?: unknown;
  attributes?: Record<string, unknown>;
}

/** Parses the wrapped form of a push: `{"message": {"data": "<base64>"}, "subscription": "…"}`. */
function parsePush(body: unknown): PushedTurn | undefined {
  const message = (body as { message?: PushedMessage } | null)?.message;
  const turn = typeof message?.data === 'string' ? parseTurn(Buffer.from(message.data, 'base64')) : undefined;
  if (turn === undefined) return undefined;
  const at = Date.parse(String(message?.publishTime));
  const traceparent = message?.attributes?.['traceparent'];
  return {
    ...turn,
    sent: {
      at: Number.isNaN(at) ? databaseNow() : at,
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    },
  };
}
