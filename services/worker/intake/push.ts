/**
 * Push mode: Pub/Sub calls the worker, so that it can scale to zero. A request lasts as long as its turn; before the
 * push deadline (600 s at most) the turn is given back between two steps, with a wakeup for what is left, so that a task
 * of hours runs on requests of minutes. No room is 429, which Pub/Sub takes as "later and slower".
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { CallerError, createCheckCaller } from '#shared/gcp/caller-auth.ts';
import { parseTurn, type PublishInfo } from '#shared/gcp/pubsub.ts';
import type { PushAuthConfig } from '#shared/runtime/config/callers.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { Consumer } from './consumer.ts';

/** What is left of the deadline when no further step begins, and when a step under way is cut. */
const soonPart = 0.8;
const nowPart = 0.95;

export interface PushParts extends PushAuthConfig {
  consumer: Consumer;
  /** What to do with a wakeup that Pub/Sub gave up. */
  onDeadLetter: (taskId: string) => Promise<void>;
  log: Logger;
}

export function registerPush(app: FastifyInstance, parts: PushParts): void {
  const { consumer, deadlineMs, log } = parts;
  const check = createCheckCaller(parts.auth);
  const onRequest = (request: FastifyRequest): Promise<void> =>
    check(request.headers.authorization, parts.account);
  const bounds = { soonMs: deadlineMs * soonPart, nowMs: deadlineMs * nowPart };

  app.setErrorHandler(async (error, request, reply) => {
    if (error instanceof CallerError) {
      log.warn({ path: request.url, reason: error.message }, 'a caller was refused');
      return reply.code(403).send({ error: 'not allowed' });
    }
    log.warn({ path: request.url, error: errorMessage(error) }, 'a push failed');
    return reply.code(503).send({ error: 'try again' });
  });

  app.post('/turns', { onRequest }, async (request, reply) => {
    const turn = turnOf(request.body);
    if (turn === undefined) {
      log.error('a pushed message is not {taskId, turn}; it was dropped');
      return reply.code(204).send();
    }
    const had = await consumer.runPushed(turn.taskId, turn.sent, bounds);
    return had ? reply.code(204).send() : reply.code(429).header('retry-after', '5').send();
  });

  app.post('/dead-letters', { onRequest }, async (request, reply) => {
    const turn = turnOf(request.body);
    if (turn !== undefined) await parts.onDeadLetter(turn.taskId);
    return reply.code(204).send();
  });
}

interface PushedMessage {
  data?: unknown;
  publishTime?: unknown;
  attributes?: Record<string, unknown>;
}

/** The wrapped form of a push: `{"message": {"data": "<base64>"}, "subscription": "…"}`. */
function turnOf(body: unknown): { taskId: string; turn: number; sent: PublishInfo } | undefined {
  const message = (body as { message?: PushedMessage } | null)?.message;
  const turn = typeof message?.data === 'string' ? parseTurn(Buffer.from(message.data, 'base64')) : undefined;
  if (turn === undefined) return undefined;
  const at = Date.parse(String(message?.publishTime));
  const traceparent = message?.attributes?.['traceparent'];
  return {
    ...turn,
    sent: {
      at: Number.isNaN(at) ? Date.now() : at,
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    },
  };
}
