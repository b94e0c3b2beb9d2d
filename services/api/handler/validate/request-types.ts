/** The messages of a2a.proto that requests consist of, for `checkFields`. */
import type { MessageType } from './fields.ts';

const texts = { list: 'string' } as const;

const part: MessageType = {
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

const message: MessageType = {
  fields: {
    messageId: 'string',
    contextId: 'string',
    taskId: 'string',
    role: 'enum',
    parts: { list: part },
    metadata: 'object',
    extensions: texts,
    referenceTaskIds: texts,
  },
  formerNames: { content: 'parts' },
};

const pushConfig: MessageType = {
  fields: {
    tenant: 'string',
    id: 'string',
    taskId: 'string',
    url: 'string',
    token: 'string',
    authentication: {
      fields: { scheme: 'string', credentials: 'string' },
      formerNames: { schemes: 'scheme' },
    },
  },
  formerNames: { pushNotificationConfig: 'its fields without it', configId: 'id' },
};

export const sendMessageType: MessageType = {
  fields: {
    tenant: 'string',
    message,
    configuration: {
      fields: {
        acceptedOutputModes: texts,
        taskPushNotificationConfig: pushConfig,
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

export const pushConfigType = pushConfig;

/** Requests that identify a task, a config, or a page of them. */
export const idType: MessageType = {
  fields: { tenant: 'string', id: 'string', historyLength: 'integer', metadata: 'object' },
  formerNames: { taskId: 'id' },
};

export const configIdType: MessageType = {
  fields: { tenant: 'string', taskId: 'string', id: 'string', pageSize: 'integer', pageToken: 'string' },
  formerNames: { pushNotificationConfigId: 'id' },
};

export const listTasksType: MessageType = {
  fields: {
    tenant: 'string',
    contextId: 'string',
    status: 'enum',
    pageSize: 'integer',
    pageToken: 'string',
    historyLength: 'integer',
    statusTimestampAfter: 'string',
    includeArtifacts: 'boolean',
  },
};
