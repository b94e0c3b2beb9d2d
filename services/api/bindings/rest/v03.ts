/** How A2A 0.3 speaks HTTP+JSON: its protocol buffers as JSON, and errors as JSON-RPC has them. It has no list of tasks. */
import { LegacyRestTransportHandler, toLegacyHTTPError } from '@a2a-js/sdk/compat/v0_3/server';
import { A2A_ERROR_CODE, A2AError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import { errorMessage } from '#shared/runtime/log.ts';
import { decode, type Params } from '../../handler/operations.ts';
import type { RestDialect } from './dialect.ts';
import {
  configFromProto,
  configToProto,
  eventToProto,
  sendParamsFromProto,
  sentToProto,
  taskToProto,
} from './v03-json.ts';

export function createV03Dialect(handler: A2ARequestHandler): RestDialect {
  const transport = new LegacyRestTransportHandler(handler);
  const send = (params: Params) => decode({ fromJSON: sendParamsFromProto }, params);

  return {
    version: '0.3',
    contentType: 'application/json',
    unary: {
      SendMessage: async (params, context) => sentToProto(await transport.sendMessage(send(params), context)),
      GetTask: async (params, context) =>
        taskToProto(await transport.getTask(text(params, 'id'), context, params['historyLength'])),
      CancelTask: async (params, context) =>
        taskToProto(await transport.cancelTask(text(params, 'id'), context)),
      CreateTaskPushNotificationConfig: async (params, context) =>
        configToProto(
          await transport.setTaskPushNotificationConfig(
            configFromProto(text(params, 'taskId'), params),
            context,
          ),
        ),
      GetTaskPushNotificationConfig: async (params, context) =>
        configToProto(
          await transport.getTaskPushNotificationConfig(text(params, 'taskId'), text(params, 'id'), context),
        ),
      ListTaskPushNotificationConfigs: async (params, context) => ({
        configs: (await transport.listTaskPushNotificationConfigs(text(params, 'taskId'), context)).map(
          configToProto,
        ),
      }),
      DeleteTaskPushNotificationConfig: (params, context) =>
        transport.deleteTaskPushNotificationConfig(text(params, 'taskId'), text(params, 'id'), context),
      GetExtendedAgentCard: (_params, context) => transport.getAuthenticatedExtendedAgentCard(context),
    },
    streaming: {
      SendStreamingMessage: async function* (params, context) {
        for await (const event of await transport.sendMessageStream(send(params), context)) {
          yield eventToProto(event);
        }
      },
      SubscribeToTask: async function* (params, context) {
        for await (const event of await transport.resubscribe(text(params, 'id'), context)) {
          yield eventToProto(event);
        }
      },
    },
    // As the reference servers of 0.3 answer.
    statusOf: (operation) =>
      operation === 'DeleteTaskPushNotificationConfig'
        ? 204
        : operation === 'SendMessage' || operation === 'CreateTaskPushNotificationConfig'
          ? 201
          : 200,
    errorBody: v03ErrorBody,
  };
}

export function v03ErrorBody(error: unknown, status: number): unknown {
  if (error instanceof A2AError) return toLegacyHTTPError(error);
  const code =
    codes[status] ?? (status < 500 ? A2A_ERROR_CODE.INVALID_REQUEST : A2A_ERROR_CODE.INTERNAL_ERROR);
  return { code, message: errorMessage(error) };
}

/** What HTTP has a status for and A2A no error. */
const codes: Readonly<Record<number, number>> = { 404: A2A_ERROR_CODE.METHOD_NOT_FOUND };

/** A parameter that stands in the path. */
function text(params: Params, name: string): string {
  const value = params[name];
  return typeof value === 'string' ? value : '';
}
