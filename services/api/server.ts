/** The front door as a Fastify application: routes and the errors of HTTP itself. */
import { A2A_CONTENT_TYPE, AGENT_CARD_PATH, type AgentCard } from '@a2a-js/sdk';
import { A2A_ERROR_CODE } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import type { FastifyInstance } from 'fastify';
import type { JWK } from 'jose';
import type { ApiLimits } from '#shared/runtime/config/api.ts';
import { registerHealth, type ReadyCheck } from '#shared/runtime/health.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { closeAfterRequests, createServer } from '#shared/runtime/server.ts';
import { registerAdmission, type Admit } from './limits/admission.ts';
import { UnauthenticatedError } from './auth/caller.ts';
import { registerCard } from './card/routes.ts';
import type { ConditionalParts } from './http/conditional.ts';
import { discardBody } from './http/discard-body.ts';
import { RetryLaterError } from './handler/errors.ts';
import { registerFileRoutes } from './files/routes.ts';
import { registerHeaders } from './http/headers.ts';
import { jsonRpcPath, registerJsonRpc } from './bindings/jsonrpc/jsonrpc.ts';
import { registerWebhookRoutes, type WebhookRoutesParts } from './extensions/webhooks/routes.ts';
import { registerRest, restFailure, restPath } from './bindings/rest/rest.ts';

export interface AppParts {
  handler: A2ARequestHandler;
  card: AgentCard;
  /** Verifies the signature of the card; undefined: it has none. */
  cardKey: JWK | undefined;
  admitCaller: Admit;
  conditional: ConditionalParts;
  limits: Pick<ApiLimits, 'trustedProxies'>;
  corsOrigins: readonly string[];
  publicUrl: string;
  drainMs: number;
  ready: ReadyCheck;
  bodyLimitBytes: number;
  webhooks: WebhookRoutesParts;
  log: Logger;
}

export async function createApp(parts: AppParts): Promise<FastifyInstance> {
  const { handler, card, log } = parts;
  const app = createServer({
    trustProxy: (_address, hop) => hop < parts.limits.trustedProxies,
    bodyLimit: parts.bodyLimitBytes,
    // Idle streams are kept open by comments; a request must arrive within a minute.
    requestTimeout: 60_000,
    // Ids of clients' making, encoded, are what is longest in a path. Clients that append a path to an address of the
    // card send a slash more.
    routerOptions: { maxParamLength: 1024, ignoreTrailingSlash: true },
  });
  // A reader that has stopped reading its stream does not hold up the drain.
  closeAfterRequests(app, (parts.drainMs * 2) / 3);
  // Bodies reach the bindings as text: what is wrong with them is told in the binding's own form. The types that are
  // named are those of good requests: what Fastify finds by `*` it looks for again each time.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    ['application/json', A2A_CONTENT_TYPE, '*'],
    { parseAs: 'string' },
    (_request, body, done) => done(null, body),
  );

  registerAdmission(app, parts.admitCaller);
  await registerHeaders(app, {
    secure: parts.publicUrl.startsWith('https:'),
    corsOrigins: parts.corsOrigins,
  });
  registerHealth(app, parts.ready);
  await registerCard(app, card, parts.cardKey);
  registerJsonRpc(app, handler, card, log);
  registerRest(app, parts);
  registerWebhookRoutes(app, parts.webhooks);
  registerFileRoutes(app, parts.webhooks);

  app.setErrorHandler(async (error, request, reply) => {
    const { statusCode = 500, code } = error as { statusCode?: number; code?: string };
    const retryLater = error instanceof RetryLaterError;
    if (retryLater) void reply.header('retry-after', error.retryAfterSeconds);
    if (error instanceof UnauthenticatedError) void reply.header('www-authenticate', error.challenges);
    const hidden = statusCode >= 500 && !retryLater;
    if (code === 'ERR_STREAM_PREMATURE_CLOSE') log.debug('a reader has left its stream');
    else if (hidden) log.error({ err: error }, 'a request failed');
    const tooLarge = code === 'FST_ERR_CTP_BODY_TOO_LARGE';
    if (tooLarge) await discardBody(request.raw);
    const message = tooLarge
      ? `The body is larger than ${parts.bodyLimitBytes} bytes: send large content as a file by URL`
      : hidden
        ? 'Internal error'
        : errorMessage(error);
    const rpcError = {
      code: rpcCodeOf(error, statusCode),
      message,
    };
    const { contentType, body } = request.url.startsWith(restPath)
      ? restFailure(card, request, statusCode, message)
      : {
          contentType: 'application/json',
          body: request.url.startsWith(jsonRpcPath)
            ? { jsonrpc: '2.0', id: null, error: rpcError }
            : { error: message },
        };
    return reply.code(statusCode).header('content-type', contentType).send(JSON.stringify(body));
  });
  app.setNotFoundHandler(async (request, reply) =>
    reply.code(404).send({
      error: `nothing is served at ${request.method} ${request.url}; the agent card is at /${AGENT_CARD_PATH}`,
    }),
  );
  return app;
}

/** A server error of JSON-RPC 2.0 (section 5.1), since neither it nor A2A has a code for credentials. */
const unauthenticatedCode = -32000;

function rpcCodeOf(error: unknown, statusCode: number): number {
  if (error instanceof UnauthenticatedError) return unauthenticatedCode;
  return statusCode >= 500 || error instanceof RetryLaterError
    ? A2A_ERROR_CODE.INTERNAL_ERROR
    : A2A_ERROR_CODE.INVALID_REQUEST;
}
