/** The front door as a Fastify application: routes and the errors of HTTP itself. */
import { A2A_VERSION_HEADER, AGENT_CARD_PATH, AgentCard } from '@a2a-js/sdk';
import { A2A_ERROR_CODE } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import { fastify, type FastifyInstance } from 'fastify';
import { registerHealth, type ReadyCheck } from '#shared/runtime/health.ts';
import { messageOf, type Logger } from '#shared/runtime/log.ts';
import { versionOf } from './call-context.ts';
import { jsonRpcPath, registerJsonRpc } from './jsonrpc.ts';
import { cardOfBothVersions } from './legacy/card.ts';
import { registerRest, restFailure, restPath } from './rest.ts';

export interface AppParts {
  handler: A2ARequestHandler;
  card: AgentCard;
  ready: ReadyCheck;
  bodyLimitBytes: number;
  log: Logger;
}

export function createApp(parts: AppParts): FastifyInstance {
  const { handler, card, log } = parts;
  const app = fastify({
    bodyLimit: parts.bodyLimitBytes,
    // Idle streams are kept open by comments; a request must arrive within a minute.
    requestTimeout: 60_000,
    forceCloseConnections: true,
    // Ids of clients' making, encoded, are what is longest in a path. Clients that append a path to an address of the
    // card send a slash more.
    routerOptions: { maxParamLength: 1024, ignoreTrailingSlash: true },
  });
  // Bodies reach the bindings as text: what is wrong with them is told in the binding's own form.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));

  registerHealth(app, parts.ready);
  const cardJson = JSON.stringify(AgentCard.toJSON(card));
  const cardOfBoth = cardOfBothVersions(card).then((both) => JSON.stringify(both));
  app.get(`/${AGENT_CARD_PATH}`, async (request, reply) =>
    reply
      .header('content-type', 'application/json')
      .header('cache-control', 'public, max-age=60')
      .header('vary', A2A_VERSION_HEADER)
      .send(versionOf(request) === '1.0' ? cardJson : await cardOfBoth),
  );
  registerJsonRpc(app, handler, card, log);
  registerRest(app, parts);

  app.setErrorHandler(async (error, request, reply) => {
    const { statusCode = 500, code } = error as { statusCode?: number; code?: string };
    if (statusCode >= 500) log.error({ err: error }, 'a request failed');
    const message =
      code === 'FST_ERR_CTP_BODY_TOO_LARGE'
        ? `The body is larger than ${parts.bodyLimitBytes} bytes: send large content as a file by URL`
        : statusCode >= 500
          ? 'Internal error'
          : messageOf(error);
    const rpcError = {
      code: statusCode >= 500 ? A2A_ERROR_CODE.INTERNAL_ERROR : A2A_ERROR_CODE.INVALID_REQUEST,
      message,
    };
    const { contentType, body } = request.url.startsWith(restPath)
      ? restFailure(request, statusCode, message)
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
