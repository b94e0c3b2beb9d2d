/**
 * The JSON-RPC binding (A2A section 9), for clients of 1.0 and 0.3 at one address: the version that a request
 * names selects the methods that it can call. Streams are server-sent events.
 *
 * Errors are sent with HTTP 200, as is usual for JSON-RPC over HTTP. Failures that HTTP has a status for (an
 * unsupported media type, a missing scope, an unavailable service) are reported by both. A stream that is refused is an ordinary
 * response in 1.0. In 0.3 it is a stream with one event: clients of that version lose an error in any other form.
 */
import { A2A_VERSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import { isLegacyJsonRpcMethod } from '@a2a-js/sdk/compat/v0_3';
import { A2A_ERROR_CODE, ContentTypeNotSupportedError, RequestMalformedError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';
import type { Logger } from '#shared/runtime/log.ts';
import {
  createProtocolCheck,
  echoExtensions,
  createHttpCallContext,
  isV03,
  supportsV03,
} from '../call-context.ts';
import { nextStep, streamedEvent, warnClient } from '../../handler/call-state.ts';
import { HttpRequestError, RetryLaterError, toClientError } from '../../handler/errors.ts';
import { createOperations } from '../../handler/operations.ts';
import { maxSmallBodyBytes } from '../../http/body.ts';
import { sendFailure, type FailureFormat } from '../../http/failure.ts';
import { sendErrorEvent, sendStream } from '../../http/sse.ts';
import { discardBody } from '../../http/unread-body.ts';
import { createWarner } from '../../http/warnings.ts';
import { endReceipt, getAdmittedCaller, getLimitKey } from '../../limits/admission.ts';
import {
  isAboutCredentials,
  parseEnvelope,
  readRequestText,
  refuseByHead,
  RpcFailure,
  toErrorEnvelope,
  type Envelope,
  type Methods,
  type RpcId,
} from './envelope.ts';
import { peekBody } from './head.ts';
import { createV03Methods, isV03Stream, toV03RpcError } from './v03.ts';

export const jsonRpcPath = '/a2a/jsonrpc';
/** Clients that know only the address of a service, and not its card, call its root. */
const jsonRpcPaths = [jsonRpcPath, '/'];

export function registerJsonRpc(
  app: FastifyInstance,
  {
    handler,
    bodyLimitBytes,
    card,
    largeWork,
    log,
  }: {
    handler: A2ARequestHandler;
    bodyLimitBytes: number;
    card: AgentCard;
    largeWork: LargeWork;
    log: Logger;
  },
): void {
  const current = createMethods(handler);
  const v03 = createV03Methods(handler);
  const checkProtocol = createProtocolCheck(card, 'JSONRPC');

  const startLarge = (request: FastifyRequest): Promise<void> =>
    largeWork.start(getLimitKey(getAdmittedCaller(request), () => request.ip));

  const answer = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    // A browser sends any other type, and a body without one, for pages of other sites without asking first.
    if (request.mediaType !== 'application/json') {
      const sent = request.mediaType ?? 'a body without Content-Type';
      const error = new ContentTypeNotSupportedError(`the body must be application/json, not ${sent}`);
      return sendFailure(reply, log, error, { ...createFailureFormat(null), toStatus: () => 415 });
    }
    let envelope: Envelope;
    try {
      const text = readRequestText(request);
      // Between the steps of a large request, the event loop is free for others.
      const isLarge = typeof text === 'string' && text.length >= minLargeBytes;
      if (isLarge) await startLarge(request);
      envelope = typeof text === 'string' ? parseEnvelope(text) : text;
      if (isLarge) await startLarge(request);
    } catch (error) {
      return sendFailure(reply, log, error, createFailureFormat(null));
    }
    if ('error' in envelope) {
      return sendFailure(reply, log, new RpcFailure(envelope.error), createFailureFormat(envelope.id));
    }
    const { id, notification } = envelope;
    const tenant = envelope.params['tenant'] ?? '';
    const context = createHttpCallContext(request, reply, typeof tenant === 'string' ? tenant : '');
    warnClient.set(context, createWarner(reply, log));
    const legacy = isV03(context) && supportsV03(card);
    const toError = legacy ? toV03RpcError : undefined;
    try {
      if (typeof tenant !== 'string') throw new RequestMalformedError('tenant must be a string');
      checkProtocol(context);
      const response = isV03(context) ? await v03(envelope, context) : current(envelope, context);
      if (notification) {
        await (response.kind === 'stream' ? discardStream(response.payloads) : response.result);
        return await reply.code(204).send();
      }
      if (response.kind === 'stream') {
        return await sendStream(reply, response.payloads, {
          id: () => streamedEvent.get(context),
          event: (result) => ({ jsonrpc: '2.0', id, result }),
          error: (error) => toErrorEnvelope(id, toClientError(log, error), toError),
          onStart: () => echoExtensions(reply, context),
        });
      }
      const result = await response.result;
      const pause = nextStep.get(context);
      if (pause !== undefined) await pause();
      echoExtensions(reply, context);
      void reply.header('content-type', 'application/json');
      return JSON.stringify({ jsonrpc: '2.0', id, result });
    } catch (error) {
      if (notification) return reply.code(204).send();
      const hasStatus = error instanceof RetryLaterError || isAboutCredentials(error);
      if (legacy && isV03Stream(envelope.method) && !hasStatus) {
        return sendErrorEvent(reply, toErrorEnvelope(id, toClientError(log, error), toError));
      }
      return sendFailure(reply, log, error, createFailureFormat(id, toError));
    }
  };
  const preParsing = refuseLargeParameters(log);
  for (const url of jsonRpcPaths) {
    app.post(url, { bodyLimit: bodyLimitBytes, preParsing, config: { audit: 'operation' } }, answer);
  }
}

/**
 * Refuses a large request of a method that has none by its first bytes. Only messages may be large, and parsing takes
 * longer than anything else that such a request could cause.
 */
function refuseLargeParameters(log: Logger): preParsingHookHandler {
  return ({ headers, raw, routeOptions }, reply, payload, done) => {
    const length = Number(headers['content-length'] ?? 0);
    // A body that is too large for any method is refused by its length.
    if (length <= maxSmallBodyBytes || length > routeOptions.bodyLimit) {
      done(null, payload);
      return;
    }
    const accept = (): void => done(null, payload);
    void peekBody(raw).then(async (head) => {
      const refused = head && refuseByHead(head);
      if (refused === undefined) return accept();
      endReceipt(raw);
      await discardBody(raw);
      return sendFailure(reply, log, new RpcFailure(refused.error), createFailureFormat(refused.id));
    });
  };
}

function createFailureFormat(id: RpcId, toError?: Parameters<typeof toErrorEnvelope>[2]): FailureFormat {
  return {
    contentType: 'application/json',
    toBody: (error) => toErrorEnvelope(id, error, toError),
    toStatus: (error) =>
      error instanceof RetryLaterError || error instanceof HttpRequestError || isAboutCredentials(error)
        ? error.statusCode
        : 200,
  };
}

function createMethods(handler: A2ARequestHandler): Methods {
  const operations = createOperations(handler);
  const unary = new Map(Object.entries(operations.unary));
  const streaming = new Map(Object.entries(operations.streaming));
  return ({ method, params }, context) => {
    const operation = unary.get(method);
    if (operation !== undefined) return { kind: 'result', result: operation(params, context) };
    const stream = streaming.get(method);
    if (stream !== undefined) return { kind: 'stream', payloads: stream(params, context) };
    const known = [...streaming.keys(), ...unary.keys()].join(', ');
    throw new RpcFailure({
      code: A2A_ERROR_CODE.METHOD_NOT_FOUND,
      message: isLegacyJsonRpcMethod(method)
        ? `${method} is a method of A2A 0.3: omit the header ${A2A_VERSION_HEADER}, or use one of ${known}`
        : `Unknown method ${method}: use one of ${known}`,
    });
  };
}

/** Runs the stream of a notification up to its first event: its message is accepted by then. */
async function discardStream(payloads: AsyncGenerator<unknown, void, undefined>): Promise<void> {
  await payloads.next();
  await payloads.return();
}
