/** The methods of A2A 0.3 over JSON-RPC, translated by the SDK. */
import { A2A_VERSION_HEADER } from '@a2a-js/sdk';
import {
  isV1JsonRpcMethod,
  LEGACY_METHOD_MESSAGE_STREAM,
  LEGACY_METHOD_TASKS_RESUBSCRIBE,
} from '@a2a-js/sdk/compat/v0_3';
import { LegacyJsonRpcTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';
import { A2A_ERROR_CODE } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import { InternalError, RetryLaterError } from '../../handler/errors.ts';
import { markFinal } from '../v03/final-event.ts';
import {
  isAboutCredentials,
  RpcFailure,
  toRpcError,
  withDetails,
  type RpcError,
  type RpcRequest,
  type RpcResponse,
} from './envelope.ts';
import { readV03Params } from './v03-params.ts';

export function isV03Stream(method: string): boolean {
  return method === LEGACY_METHOD_MESSAGE_STREAM || method === LEGACY_METHOD_TASKS_RESUBSCRIBE;
}

export function createV03Methods(
  handler: A2ARequestHandler,
): (request: RpcRequest, context: ServerCallContext) => Promise<RpcResponse> {
  const transport = new LegacyJsonRpcTransportHandler(keepErrors(handler));
  return async ({ method, params, body }, context) => {
    if (isV1JsonRpcMethod(method)) {
      throw new RpcFailure({
        code: A2A_ERROR_CODE.METHOD_NOT_FOUND,
        message: `${method} is a method of A2A 1.0: send the header ${A2A_VERSION_HEADER}: 1.0`,
      });
    }
    const response = await transport.handle({ ...body, params: readV03Params(method, params) }, context);
    const refused = keptErrors.get(context);
    if (refused !== undefined) throw refused;
    if (Symbol.asyncIterator in response) {
      return { kind: 'stream', payloads: readResults(response, context) };
    }
    if (response.error === undefined) return { kind: 'result', result: Promise.resolve(response.result) };
    throw toFailure(response.error);
  };
}

/** The translation turns errors into text, without the status and details of those that have one. */
const keptErrors = new WeakMap<ServerCallContext, Error>();

/** Keeps those errors. Those that a stream throws later are not translated. */
function keepErrors(handler: A2ARequestHandler): A2ARequestHandler {
  const keep =
    <Request, Result>(run: (request: Request, context: ServerCallContext) => Promise<Result>) =>
    (request: Request, context: ServerCallContext): Promise<Result> =>
      run(request, context).catch((error: unknown) => {
        if (error instanceof RetryLaterError || isAboutCredentials(error)) keptErrors.set(context, error);
        throw error;
      });
  const keepStream =
    <Request, Event>(
      run: (request: Request, context: ServerCallContext) => AsyncGenerator<Event, void, undefined>,
    ) =>
    (request: Request, context: ServerCallContext): AsyncGenerator<Event, void, undefined> => {
      try {
        return run(request, context);
      } catch (error) {
        if (isAboutCredentials(error)) keptErrors.set(context, error);
        throw error;
      }
    };
  return {
    ...handler,
    sendMessageStream: keepStream((request, context) => handler.sendMessageStream(request, context)),
    resubscribe: keepStream((request, context) => handler.resubscribe(request, context)),
    sendMessage: keep((request, context) => handler.sendMessage(request, context)),
    getTask: keep((request, context) => handler.getTask(request, context)),
    cancelTask: keep((request, context) => handler.cancelTask(request, context)),
    createTaskPushNotificationConfig: keep((request, context) =>
      handler.createTaskPushNotificationConfig(request, context),
    ),
    getTaskPushNotificationConfig: keep((request, context) =>
      handler.getTaskPushNotificationConfig(request, context),
    ),
    listTaskPushNotificationConfigs: keep((request, context) =>
      handler.listTaskPushNotificationConfigs(request, context),
    ),
    deleteTaskPushNotificationConfig: keep((request, context) =>
      handler.deleteTaskPushNotificationConfig(request, context),
    ),
  };
}

export function toV03RpcError(error: unknown): RpcError {
  if (isAboutCredentials(error)) return toRpcError(error);
  return withDetails(LegacyJsonRpcTransportHandler.mapToLegacyJSONRPCError(error), error);
}

async function* readResults(
  envelopes: AsyncGenerator<{ result?: unknown }, void, undefined>,
  context: ServerCallContext,
): AsyncGenerator<unknown, void, undefined> {
  for await (const { result } of envelopes) yield markFinal(result as object, context);
}

/** An internal error that no operation has logged comes from the translation, and is logged by the caller. */
function toFailure(error: RpcError): Error {
  if (error.code !== A2A_ERROR_CODE.INTERNAL_ERROR || error.message === InternalError.text) {
    return new RpcFailure(error);
  }
  return new Error(`A result cannot be translated to A2A 0.3: ${error.message}`);
}
