/**
 * The JSON-RPC binding (A2A section 9), on the SDK's transport handler. What JSON-RPC 2.0 says about the envelope is
 * checked here, since the codes for it are JSON-RPC's own; streams are server-sent events.
 */
import { A2A_VERSION_HEADER, HTTP_EXTENSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import { A2A_ERROR_CODE, toJsonRpcError } from '@a2a-js/sdk/errors';
import {
  JsonRpcTransportHandler,
  ServerCallContext,
  validateVersion,
  type A2ARequestHandler,
} from '@a2a-js/sdk/server';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { setSignal, streamedEvent } from './caller.ts';
import { UnavailableError } from './errors.ts';
import { sendSse, type SseEvent } from './sse.ts';

export const jsonRpcPath = '/a2a/jsonrpc';

type Id = string | number | null;
type Answer = Awaited<ReturnType<JsonRpcTransportHandler['handle']>>;
type StreamAnswer = Extract<Answer, AsyncGenerator>;

export function registerJsonRpc(app: FastifyInstance, handler: A2ARequestHandler, card: AgentCard): void {
  const transport = new JsonRpcTransportHandler(handler);

  app.post(jsonRpcPath, async (request, reply) => {
    const envelope = readEnvelope(request.body);
    if ('error' in envelope) return sendError(reply, envelope.id, envelope.error);
    const gone = new AbortController();
    request.raw.socket.once('close', () => gone.abort());
    const context = callContext(request, gone.signal);
    try {
      validateVersion(context.requestedVersion, card, 'JSONRPC');
      const answer = await transport.handle(envelope.body, context);
      return isStream(answer)
        ? await sendStream(reply, answer, context, envelope.id)
        : await send(reply, answer);
    } catch (error) {
      return sendError(reply, envelope.id, toJsonRpcError(error), error);
    }
  });
}

function callContext(request: FastifyRequest, signal: AbortSignal): ServerCallContext {
  const extensions = header(request, HTTP_EXTENSION_HEADER)
    ?.split(',')
    .map((uri) => uri.trim())
    .filter((uri) => uri !== '');
  const context = new ServerCallContext({
    requestedVersion: header(request, A2A_VERSION_HEADER) ?? '',
    ...(extensions !== undefined && { requestedExtensions: extensions }),
  });
  setSignal(context, signal);
  return context;
}

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(',') : value;
}

type Envelope =
  { id: Id; body: Record<string, unknown> } | { id: Id; error: { code: number; message: string } };

/** JSON-RPC 2.0, sections 4 and 5.1: what is not JSON is a parse error, what is not a request an invalid one. */
function readEnvelope(text: unknown): Envelope {
  let body: unknown;
  try {
    body = JSON.parse(typeof text === 'string' ? text : '');
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'not JSON';
    return {
      id: null,
      error: { code: A2A_ERROR_CODE.PARSE_ERROR, message: `The body is not valid JSON: ${reason}` },
    };
  }
  const invalid = (message: string, id: Id = null): Envelope => ({
    id,
    error: { code: A2A_ERROR_CODE.INVALID_REQUEST, message },
  });
  if (Array.isArray(body)) return invalid('Batches are not taken: send one request object');
  if (typeof body !== 'object' || body === null)
    return invalid('The body must be a JSON-RPC 2.0 request object');
  const { jsonrpc, id = null, method } = body as Record<string, unknown>;
  if (id !== null && typeof id !== 'string' && !Number.isInteger(id)) {
    return invalid('id must be a string, a whole number or null');
  }
  if (jsonrpc !== '2.0') return invalid('jsonrpc must be "2.0"', id as Id);
  if (typeof method !== 'string' || method === '') return invalid('method must be a string', id as Id);
  return { id: id as Id, body: body as Record<string, unknown> };
}

function isStream(answer: Answer): answer is StreamAnswer {
  return Symbol.asyncIterator in answer;
}

async function sendStream(
  reply: FastifyReply,
  answers: StreamAnswer,
  context: ServerCallContext,
  id: Id,
): Promise<FastifyReply> {
  // What is refused before the first event is an ordinary error, not a stream.
  const first = await answers.next();
  return sendSse(reply, events());

  async function* events(): AsyncGenerator<SseEvent, void, undefined> {
    try {
      for (let next = first; next.done !== true; next = await answers.next()) {
        yield { id: streamedEvent(context), data: next.value };
      }
    } catch (error) {
      yield { id: undefined, data: { jsonrpc: '2.0', id, error: toJsonRpcError(error) } };
    } finally {
      await answers.return(undefined);
    }
  }
}

async function send(reply: FastifyReply, answer: object): Promise<FastifyReply> {
  return reply.header('content-type', 'application/json').send(JSON.stringify(answer));
}

async function sendError(
  reply: FastifyReply,
  id: Id,
  error: { code: number; message: string },
  cause?: unknown,
): Promise<FastifyReply> {
  if (cause instanceof UnavailableError) {
    void reply.code(503).header('retry-after', String(cause.retryAfterSeconds));
  }
  return send(reply, { jsonrpc: '2.0', id, error });
}
