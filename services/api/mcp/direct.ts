/**
 * The short way of requests of revision 2026-07-28 whose envelope and headers are plainly valid, and whose answer is one
 * object: polls, and calls that are answered with a task. It spares them the SDK, which takes as long as the rest of an accept.
 * Every other request goes through the SDK, which knows what is wrong with it; both run the same methods.
 */
import type { AgentCard } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { FastifyReply } from 'fastify';
import type { Logger } from '#shared/runtime/log.ts';
import { toClientError } from '../handler/errors.ts';
import { sendFailure, type FailureFormat } from '../http/failure.ts';
import { isObject } from './capabilities.ts';
import { errorCode, hasStatus, toMcpError, type McpError } from './errors.ts';
import { toServerInfo } from './info.ts';
import type { Method } from './methods.ts';
import { serverInfoKey, type ClientCapabilities } from './protocol.ts';

export interface DirectRequest {
  id: string | number;
  method: string;
  params: Readonly<Record<string, unknown>>;
  capabilities: ClientCapabilities;
  meta: Readonly<Record<string, unknown>>;
}

export interface DirectParts {
  methods: ReadonlyMap<string, Method>;
  getFullCard: () => AgentCard;
  createFormat: (id: unknown) => FailureFormat;
  log: Logger;
}

/** Answers a request; returns false if the SDK has to. */
export async function answerDirectly(
  { methods, getFullCard, createFormat, log }: DirectParts,
  { id, method, params, capabilities, meta }: DirectRequest,
  context: ServerCallContext,
  reply: FastifyReply,
): Promise<boolean> {
  const run = methods.get(method);
  if (run === undefined) return false;
  const { inputResponses, requestState } = params;
  const responses = isObject(inputResponses) ? inputResponses : undefined;
  void reply.header('content-type', 'application/json');
  try {
    const call = { context, capabilities, meta, inputResponses: responses, requestState };
    const result = await run(params, { era: 'modern', ...call });
    const _meta = { [serverInfoKey]: toServerInfo(getFullCard()) };
    const whole = { resultType: 'complete', _meta, ...result };
    void reply.send(JSON.stringify({ jsonrpc: '2.0', id, result: whole }));
  } catch (error) {
    const failure = toClientError(log, error);
    if (hasStatus(failure)) {
      void sendFailure(reply, log, failure, createFormat(id));
      return true;
    }
    const { code, message, data } = toMcpError(failure) as McpError;
    // The only error whose status the specification sets (2026-07-28, schema, "MissingRequiredClientCapabilityError").
    void reply.code(code === errorCode.missingCapability ? 400 : 200);
    const body = { jsonrpc: '2.0', id, error: { code, message, ...(data !== undefined && { data }) } };
    void reply.send(JSON.stringify(body));
  }
  return true;
}
