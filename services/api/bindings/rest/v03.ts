/**
 * HTTP+JSON in A2A 0.3: its protocol buffers as JSON, and errors in the form of JSON-RPC. It cannot list
 * tasks.
 */
import { LegacyRestTransportHandler, toLegacyHTTPError } from '@a2a-js/sdk/compat/v0_3/server';
import { A2A_ERROR_CODE, A2AError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import type { Params } from '../../handler/operations.ts';
import type { FailureFormat } from '../../http/failure.ts';
import { markFinal } from '../v03/final-event.ts';
import type { RestDialect } from './dialect.ts';
import { configToProto, eventToProto, sentToProto, taskToProto } from './v03-json.ts';
import { configFromProto, sendParamsFromProto } from './v03-requests.ts';

export function createV03Dialect(handler: A2ARequestHandler): RestDialect {
  const transport = new LegacyRestTransportHandler(handler);

  return {
    ...v03Failure,
    version: '0.3',
    unary: {
      SendMessage: async (params, context) =>
        sentToProto(await transport.sendMessage(sendParamsFromProto(params), context)),
      GetTask: async (params, context) =>
        taskToProto(await transport.getTask(getPathParam(params, 'id'), context, params['historyLength'])),
      CancelTask: async (params, context) =>
        taskToProto(await transport.cancelTask(getPathParam(params, 'id'), context)),
      CreateTaskPushNotificationConfig: async (params, context) =>
        configToProto(
          await transport.setTaskPushNotificationConfig(
            configFromProto(getPathParam(params, 'taskId'), params),
            context,
          ),
        ),
      GetTaskPushNotificationConfig: async (params, context) =>
        configToProto(
          await transport.getTaskPushNotificationConfig(
            getPathParam(params, 'taskId'),
            getPathParam(params, 'id'),
            context,
          ),
        ),
      ListTaskPushNotificationConfigs: async (params, context) => ({
        configs: (
          await transport.listTaskPushNotificationConfigs(getPathParam(params, 'taskId'), context)
        ).map(configToProto),
      }),
      DeleteTaskPushNotificationConfig: (params, context) =>
        transport.deleteTaskPushNotificationConfig(
          getPathParam(params, 'taskId'),
          getPathParam(params, 'id'),
          context,
        ),
      GetExtendedAgentCard: (_params, context) => transport.getAuthenticatedExtendedAgentCard(context),
    },
    streaming: {
      SendStreamingMessage: async function* (params, context) {
        for await (const event of await transport.sendMessageStream(sendParamsFromProto(params), context)) {
          yield eventToProto(markFinal(event, context));
        }
      },
      SubscribeToTask: async function* (params, context) {
        for await (const event of await transport.resubscribe(getPathParam(params, 'id'), context)) {
          yield eventToProto(markFinal(event, context));
        }
      },
    },
    // The reference servers answer 201 for what they create, but the client of a2a-go accepts only 200 and 204.
    getSuccessStatus: (operation) => (operation === 'DeleteTaskPushNotificationConfig' ? 204 : 200),
  };
}

export const v03Failure: FailureFormat = {
  contentType: 'application/json',
  toBody: (error, status) => {
    if (error instanceof A2AError) return toLegacyHTTPError(error);
    const code =
      codes[status] ?? (status < 500 ? A2A_ERROR_CODE.INVALID_REQUEST : A2A_ERROR_CODE.INTERNAL_ERROR);
    return { code, message: error.message };
  },
};

/** The error code of each HTTP status that has no A2A error. */
const codes: Readonly<Record<number, number>> = { 404: A2A_ERROR_CODE.METHOD_NOT_FOUND };

/** Returns a parameter of the path. */
function getPathParam(params: Params, name: string): string {
  const value = params[name];
  return typeof value === 'string' ? value : '';
}
