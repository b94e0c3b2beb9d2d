/** The requests of a message to another agent, in the JSON of A2A 1.0. */
import type { AgentCard } from '@a2a-js/sdk';
import type { RemoteMessage } from './agent.ts';

export function offersNotifications({ capabilities }: AgentCard): boolean {
  return capabilities?.pushNotifications === true;
}

/** The reasons for which an agent may refuse an address for notifications. */
export const refusesNotifications = new Set([
  'PUSH_NOTIFICATION_NOT_SUPPORTED',
  'UNSUPPORTED_OPERATION',
  'INVALID_PARAMS',
]);

export function toRequest(message: RemoteMessage): object {
  const { messageId, parts, taskId, contextId, metadata, more, acceptedOutputModes = [], notify } = message;
  return {
    message: {
      ...more,
      messageId,
      role: 'ROLE_USER',
      parts,
      ...(taskId !== undefined && { taskId }),
      ...(contextId !== undefined && { contextId }),
    },
    configuration: {
      returnImmediately: true,
      historyLength: 0,
      acceptedOutputModes,
      ...(notify && {
        taskPushNotificationConfig: {
          url: notify.url,
          token: notify.secret,
          authentication: { scheme: 'Bearer', credentials: notify.secret },
        },
      }),
    },
    metadata,
  };
}
