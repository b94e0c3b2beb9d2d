/**
 * Streams and webhooks can be switched off. What the card does not declare is then refused, whichever binding asks for
 * it (A2A section 3.3.4).
 */
import type { AgentCard, StreamResponse, TaskPushNotificationConfig } from '@a2a-js/sdk';
import { PushNotificationNotSupportedError, UnsupportedOperationError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';

export function withinCapabilities(
  handler: A2ARequestHandler,
  capabilities: AgentCard['capabilities'],
): A2ARequestHandler {
  return {
    ...handler,
    ...(capabilities?.streaming !== true && { sendMessageStream: noStream, resubscribe: noStream }),
    ...(capabilities?.pushNotifications !== true && withoutWebhooks(handler)),
  };
}

// oxlint-disable-next-line require-yield -- it fails as a stream fails: when it is first read
async function* noStream(): AsyncGenerator<StreamResponse, void, undefined> {
  throw new UnsupportedOperationError('this agent does not stream: use SendMessage, and GetTask');
}

function withoutWebhooks(handler: A2ARequestHandler): Partial<A2ARequestHandler> {
  const refuse = async (): Promise<never> => {
    throw new PushNotificationNotSupportedError('this agent calls no webhooks: read tasks with GetTask');
  };
  const refuseIn = async (config: TaskPushNotificationConfig | undefined): Promise<void> => {
    if (config !== undefined) await refuse();
  };
  return {
    createTaskPushNotificationConfig: refuse,
    getTaskPushNotificationConfig: refuse,
    listTaskPushNotificationConfigs: refuse,
    deleteTaskPushNotificationConfig: refuse,
    sendMessage: async (request, context) => {
      await refuseIn(request.configuration?.taskPushNotificationConfig);
      return handler.sendMessage(request, context);
    },
  };
}
