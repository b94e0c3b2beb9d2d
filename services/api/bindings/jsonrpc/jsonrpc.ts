/**
 * The JSON-RPC binding (A2A section 9), for clients of 1.0 and of 0.3 at one address: the version that a request names
 * decides which methods it can call. Streams are server-sent events.
 *
 * Errors of JSON-RPC are answered with HTTP 200, as JSON-RPC over HTTP has it; what HTTP itself has a status for (a
 * wrong media type, a service that is away) is told by both.
 */
import { A2A_VERSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import { isLegacyJsonRpcMethod } from '@a2a-js/sdk/compat/v0_3';
import {
  A2A_ERROR_CODE,
  ContentTypeNotSupportedError,
  RequestMalformedError,
  toJsonRpcError,
} from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Logger } from '#shared/runtime/log.ts';
import { createAdmit, echoExtensions, httpCallContext, isV03, supportsV03 } from '../call-context.ts';
import { getStreamedEvent } from '../../handler/caller.ts';
import { readEnvelope, RpcFailure, type Id, type Methods, type RpcError } from './envelope.ts';
import { RetryLaterError, toClientError } from '../../handler/errors.ts';
import { createV03Methods, v03RpcError } from './v03.ts';
import { createOperations } from '../../handler/operations.ts';
import { sendStream } from '../../http/sse.ts';

export const jsonRpcPath = '/a2a/jsonrpc';

export function registerJsonRpc(
  app: FastifyInstance,
  handler: A2ARequestHandler,
  card: AgentCard,
  log: Logger,
): void {
  const current = createMethods(handler);
  const legacy = createV03Methods(handler);
  const admit = createAdmit(card, 'JSONRPC');

  function errorOf(context: ServerCallContext, error: unknown): RpcError {
    if (error instanceof RpcFailure) return error.rpc;
    const told = toClientError(log, error);
    return isV03(context) && supportsV03(card) ? v03RpcError(told) : toJsonRpcError(told);
  }

  app.post(jsonRpcPath, async (request, reply) => {
    const { mediaType } = request;
    if (mediaType !== undefined && mediaType !== 'application/json') {
      const text = `the body must be application/json, not ${mediaType}`;
      return answerWithError(reply.code(415), null, toJsonRpcError(new ContentTypeNotSupportedError(text)));
    }
    const envelope = readEnvelope(request.body);
    if ('error' in envelope) return answerWithError(reply, envelope.id, envelope.error);
    const { id, notification } = envelope;
    const { tenant = '' } = envelope.params;
    const context = httpCallContext(request, reply, typeof tenant === 'string' ? tenant : '');
    try {
      if (typeof tenant !== 'string') throw new RequestMalformedError('tenant must be a string');
      admit(context);
      const answer = await (isV03(context) ? legacy : current)(envelope, context);
      if (notification) {
        if (answer.kind === 'stream') await drain(answer.payloads);
        return await reply.code(204).send();
      }
      if (answer.kind === 'stream') {
        return await sendStream(reply, answer.payloads, {
          id: () => getStreamedEvent(context),
          event: (result) => ({ jsonrpc: '2.0', id, result }),
          error: (error) => ({ jsonrpc: '2.0', id, error: errorOf(context, error) }),
          begin: () => echoExtensions(reply, context),
          always: answer.always,
        });
      }
      echoExtensions(reply, context);
      return answerWith(reply, { jsonrpc: '2.0', id, result: answer.result });
    } catch (error) {
      if (notification) return reply.code(204).send();
      if (error instanceof RetryLaterError) {
        void reply.code(error.statusCode).header('retry-after', String(error.retryAfterSeconds));
      }
      return answerWithError(reply, id, errorOf(context, error));
    }
  });
}

function createMethods(handler: A2ARequestHandler): Methods {
  const operations = createOperations(handler);
  const unary = new Map(Object.entries(operations.unary));
  const streaming = new Map(Object.entries(operations.streaming));
  return async ({ method, params }, context) => {
    const stream = streaming.get(method);
    if (stream !== undefined) return { kind: 'stream', payloads: stream(params, context), always: false };
    const run = unary.get(method);
    if (run !== undefined) return { kind: 'result', result: await run(params, context) };
    const known = [...streaming.keys(), ...unary.keys()].join(', ');
    throw new RpcFailure({
      code: A2A_ERROR_CODE.METHOD_NOT_FOUND,
      message: isLegacyJsonRpcMethod(method)
        ? `${method} is a method of A2A 0.3: leave out the header ${A2A_VERSION_HEADER}, or use one of ${known}`
        : `There is no method ${method}: use one of ${known}`,
    });
  };
}

/** Takes a stream that nobody is to see. */
async function drain(payloads: AsyncGenerator<unknown, void, undefined>): Promise<void> {
  await payloads.next();
  await payloads.return();
}

/** The text of an answer, which Fastify sends. */
function answerWith(reply: FastifyReply, answer: object): string {
  void reply.header('content-type', 'application/json');
  return JSON.stringify(answer);
}

function answerWithError(reply: FastifyReply, id: Id, error: RpcError): string {
  return answerWith(reply, { jsonrpc: '2.0', id, error });
}
