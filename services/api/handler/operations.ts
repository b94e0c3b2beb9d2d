/**
 * The operations of A2A 1.0, JSON in and JSON out. The JSON-RPC and HTTP+JSON bindings share them, so both
 * accept and return the same (A2A section 5.1).
 */
import {
  AgentCard,
  CancelTaskRequest,
  DeleteTaskPushNotificationConfigRequest,
  GetExtendedAgentCardRequest,
  GetTaskPushNotificationConfigRequest,
  GetTaskRequest,
  ListTaskPushNotificationConfigsRequest,
  ListTaskPushNotificationConfigsResponse,
  ListTasksRequest,
  type ListTasksResponse,
  Message,
  SendMessageRequest,
  StreamResponse,
  SubscribeToTaskRequest,
  Task,
  TaskPushNotificationConfig,
} from '@a2a-js/sdk';
import { A2AError, RequestMalformedError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import { keepNullData } from '#shared/a2a/translate.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { nextStep, warnClient } from './call-state.ts';
import { checkFields, type MessageType } from './validate/fields.ts';
import { requestTypes as types } from './validate/request-types.ts';

/** The fields of a request by JSON name. */
export type Params = Readonly<Record<string, unknown>>;
export type Unary = (params: Params, context: ServerCallContext) => Promise<unknown>;
export type Streaming = (
  params: Params,
  context: ServerCallContext,
) => AsyncGenerator<unknown, void, undefined>;

export type UnaryName =
  | 'SendMessage'
  | 'GetTask'
  | 'ListTasks'
  | 'CancelTask'
  | 'CreateTaskPushNotificationConfig'
  | 'GetTaskPushNotificationConfig'
  | 'ListTaskPushNotificationConfigs'
  | 'DeleteTaskPushNotificationConfig'
  | 'GetExtendedAgentCard';
export type StreamingName = 'SendStreamingMessage' | 'SubscribeToTask';

export interface Operations {
  unary: Partial<Record<UnaryName, Unary>>;
  streaming: Record<StreamingName, Streaming>;
}

/** Reads a request and checks its fields. */
interface RequestCodec<T> extends Codec<T> {
  type: MessageType;
}

const sendMessageRequest: RequestCodec<SendMessageRequest> = {
  type: types.SendMessage,
  fromJSON: (json) => {
    const request = SendMessageRequest.fromJSON(json);
    keepNullData((json as { message?: object }).message, request.message);
    return request;
  },
};

function requestCodec<T>(type: MessageType, codec: Codec<T>): RequestCodec<T> {
  return { type, fromJSON: (json) => codec.fromJSON(json) };
}

export function createOperations(handler: A2ARequestHandler): Operations {
  return {
    unary: {
      SendMessage: unary(
        sendMessageRequest,
        (request, context) => handler.sendMessage(request, context),
        (sent) => ('messageId' in sent ? { message: Message.toJSON(sent) } : { task: Task.toJSON(sent) }),
      ),
      GetTask: unary(
        requestCodec(types.GetTask, GetTaskRequest),
        (request, context) => handler.getTask(request, context),
        (task) => Task.toJSON(task),
      ),
      ListTasks: async (params, context) => {
        const request = decodeRequest(requestCodec(types.ListTasks, ListTasksRequest), params, context);
        const page = await handler.listTasks(request, context);
        await nextStep.get(context)?.();
        return listToJson(page, request.includeArtifacts === true);
      },
      CancelTask: unary(
        requestCodec(types.CancelTask, CancelTaskRequest),
        (request, context) => handler.cancelTask(request, context),
        (task) => Task.toJSON(task),
      ),
      CreateTaskPushNotificationConfig: unary(
        requestCodec(types.CreateTaskPushNotificationConfig, TaskPushNotificationConfig),
        (request, context) => handler.createTaskPushNotificationConfig(request, context),
        (config) => TaskPushNotificationConfig.toJSON(config),
      ),
      GetTaskPushNotificationConfig: unary(
        requestCodec(types.GetTaskPushNotificationConfig, GetTaskPushNotificationConfigRequest),
        (request, context) => handler.getTaskPushNotificationConfig(request, context),
        (config) => TaskPushNotificationConfig.toJSON(config),
      ),
      ListTaskPushNotificationConfigs: unary(
        requestCodec(types.ListTaskPushNotificationConfigs, ListTaskPushNotificationConfigsRequest),
        (request, context) => handler.listTaskPushNotificationConfigs(request, context),
        (page) => ListTaskPushNotificationConfigsResponse.toJSON(page),
      ),
      DeleteTaskPushNotificationConfig: unary(
        requestCodec(types.DeleteTaskPushNotificationConfig, DeleteTaskPushNotificationConfigRequest),
        (request, context) => handler.deleteTaskPushNotificationConfig(request, context),
        () => null,
      ),
      GetExtendedAgentCard: unary(
        requestCodec(types.GetExtendedAgentCard, GetExtendedAgentCardRequest),
        (request, context) => handler.getAuthenticatedExtendedAgentCard(request, context),
        (card) => AgentCard.toJSON(card),
      ),
    },
    streaming: {
      SendStreamingMessage: streaming(sendMessageRequest, (request, context) =>
        handler.sendMessageStream(request, context),
      ),
      SubscribeToTask: streaming(
        requestCodec(types.SubscribeToTask, SubscribeToTaskRequest),
        (request, context) => handler.resubscribe(request, context),
      ),
    },
  };
}

interface Codec<T> {
  fromJSON(json: unknown): T;
}

function unary<Request, Result>(
  codec: RequestCodec<Request>,
  run: (request: Request, context: ServerCallContext) => Promise<Result>,
  toJson: (result: Result) => unknown,
): Unary {
  return async (params, context) => {
    const result = await run(decodeRequest(codec, params, context), context);
    const pause = nextStep.get(context);
    if (pause !== undefined) await pause();
    return toJson(result);
  };
}

function streaming<Request>(
  codec: RequestCodec<Request>,
  run: (request: Request, context: ServerCallContext) => AsyncGenerator<StreamResponse, void, undefined>,
): Streaming {
  return async function* (params, context) {
    for await (const event of run(decodeRequest(codec, params, context), context))
      yield StreamResponse.toJSON(event);
  };
}

/** Reads the parameters of a SendMessage. @throws {RequestMalformedError} if they are not valid */
export function decodeSendMessage(params: Params, context: ServerCallContext): SendMessageRequest {
  return decodeRequest(sendMessageRequest, params, context);
}

/** @throws {RequestMalformedError} if the request is not valid */
function decodeRequest<T>(codec: RequestCodec<T>, params: Params, context: ServerCallContext): T {
  const warnings = checkFields(codec.type, params);
  if (warnings.length > 0) warnClient.get(context)?.(warnings);
  return decode(codec, params);
}

/** @throws {RequestMalformedError} if the codec cannot read the request */
export function decode<T>(codec: Codec<T>, json: unknown): T {
  try {
    return codec.fromJSON(json);
  } catch (error) {
    if (error instanceof A2AError) throw error;
    throw new RequestMalformedError(`the request is not valid: ${errorMessage(error)}`);
  }
}

/** Adds the required fields (section 3.1.4) that ProtoJSON omits if they are empty. */
function listToJson(page: ListTasksResponse, includeArtifacts: boolean): unknown {
  return {
    tasks: page.tasks.map((task) => ({
      ...(includeArtifacts && { artifacts: [] }),
      ...(Task.toJSON(task) as object),
    })),
    nextPageToken: page.nextPageToken,
    pageSize: page.pageSize,
    totalSize: page.totalSize,
  };
}
