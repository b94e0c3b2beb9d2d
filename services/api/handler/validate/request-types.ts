/** The messages of a2a.proto that requests consist of, for `checkFields`. */
import { taskStates } from '#shared/domain/task.ts';
import type { MessageType } from './fields.ts';

const texts = { list: 'string' } as const;

/** Its OpenAPI schema has a name for each content. */
export const part: MessageType = {
  name: 'Part',
  fields: {
    text: 'string',
    raw: 'bytes',
    url: 'string',
    data: 'value',
    metadata: 'object',
    filename: 'string',
    mediaType: 'string',
  },
  oneOf: ['text', 'raw', 'url', 'data'],
  formerNames: { file: 'url or raw', mimeType: 'mediaType', name: 'filename', uri: 'url', bytes: 'raw' },
};

export const message: MessageType = {
  name: 'Message',
  required: ['messageId', 'role', 'parts'],
  fields: {
    messageId: 'string',
    contextId: 'string',
    taskId: 'string',
    role: { values: ['ROLE_USER', 'ROLE_AGENT'] },
    parts: { list: part },
    metadata: 'object',
    extensions: texts,
    referenceTaskIds: texts,
  },
  formerNames: { content: 'parts' },
};

export const pushConfigType: MessageType = {
  name: 'TaskPushNotificationConfig',
  required: ['url'],
  fields: {
    tenant: 'string',
    id: 'string',
    taskId: 'string',
    url: 'string',
    token: 'string',
    authentication: {
      name: 'AuthenticationInfo',
      fields: { scheme: 'string', credentials: 'string' },
      formerNames: { schemes: 'scheme' },
    },
  },
  formerNames: { pushNotificationConfig: 'its fields without it', configId: 'id' },
};

export const sendMessageType: MessageType = {
  name: 'SendMessageRequest',
  required: ['message'],
  fields: {
    tenant: 'string',
    message,
    configuration: {
      name: 'SendMessageConfiguration',
      fields: {
        acceptedOutputModes: texts,
        taskPushNotificationConfig: pushConfigType,
        historyLength: 'integer',
        returnImmediately: 'boolean',
      },
      formerNames: {
        pushNotificationConfig: 'taskPushNotificationConfig',
        pushNotification: 'taskPushNotificationConfig',
        blocking: 'returnImmediately',
      },
    },
    metadata: 'object',
  },
};

/** Requests that identify a task, a config, or a page of them. */
const idType: MessageType = {
  fields: { tenant: 'string', id: 'string', historyLength: 'integer', metadata: 'object' },
  required: ['id'],
  formerNames: { taskId: 'id' },
};

const configIdType: MessageType = {
  fields: { tenant: 'string', taskId: 'string', id: 'string', pageSize: 'integer', pageToken: 'string' },
  required: ['taskId'],
  formerNames: { pushNotificationConfigId: 'id' },
};

const listTasksType: MessageType = {
  fields: {
    tenant: 'string',
    contextId: 'string',
    status: { values: ['TASK_STATE_UNSPECIFIED', ...taskStates] },
    pageSize: 'integer',
    pageToken: 'string',
    historyLength: 'integer',
    statusTimestampAfter: 'string',
    includeArtifacts: 'boolean',
  },
};

/** The request of each operation. */
export const requestTypes = {
  SendMessage: sendMessageType,
  SendStreamingMessage: sendMessageType,
  GetTask: idType,
  ListTasks: listTasksType,
  CancelTask: idType,
  SubscribeToTask: idType,
  CreateTaskPushNotificationConfig: pushConfigType,
  GetTaskPushNotificationConfig: configIdType,
  ListTaskPushNotificationConfigs: configIdType,
  DeleteTaskPushNotificationConfig: configIdType,
  GetExtendedAgentCard: { ...configIdType, required: [] },
} satisfies Record<string, MessageType>;
