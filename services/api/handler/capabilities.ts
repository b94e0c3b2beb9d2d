/**
 * Streaming and webhooks can be switched off. All bindings then refuse the capability that the card does not
 * declare (A2A section 3.3.4).
 */
import type { AgentCard, StreamResponse, TaskPushNotificationConfig } from '@a2a-js/sdk';
import { PushNotificationNotSupportedError, UnsupportedOperationError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';

export function restrictToCapabilities(
  handler: A2ARequestHandler,
  capabilities: AgentCard['capabilities'],
): A2ARequestHandler {
  return {
    ...handler,
    ...(capabilities?.streaming !== true && { sendMessageStream: refuseStream, resubscribe: refuseStream }),
    ...(capabilities?.pushNotifications !== true && refuseWebhooks(handler)),
  };
}

// oxlint-disable-next-line require-yield -- it throws when the stream is first read, as other streams do
async function* refuseStream(): AsyncGenerator<StreamResponse, void, undefined> {
  throw new UnsupportedOperationError('this agent does not stream: use SendMessage and GetTask');
}

function refuseWebhooks(handler: A2ARequestHandler): Partial<A2ARequestHandler> {
  const refuse = async (): Promise<never> => {
    throw new PushNotificationNotSupportedError('this agent does not call webhooks: read tasks with GetTask');
  };
  const refuseConfig = async (config: TaskPushNotificationConfig | undefined): Promise<void> => {
    if (config !== undefined) await refuse();
  };
  return {
    createTaskPushNotificationConfig: refuse,
    getTaskPushNotificationConfig: refuse,
    listTaskPushNotificationConfigs: refuse,
    deleteTaskPushNotificationConfig: refuse,
    sendMessage: async (request, context) => {
      await refuseConfig(request.configuration?.taskPushNotificationConfig);
      return handler.sendMessage(request, context);
    },
  };
}
