/** Schemas of the answers of A2A 0.3 over HTTP+JSON: its protocol buffers as JSON (bindings/rest/v03-json.ts). */
import {
  anyObject,
  anyValue,
  either,
  flag,
  integer,
  list,
  named,
  object,
  oneOf,
  optional,
  text,
  time,
} from '../schema.ts';

const metadata = optional(anyObject);

const part = named(
  'Part',
  object({
    text: optional(text),
    file: optional(
      object({
        fileWithUri: optional(text),
        fileWithBytes: optional(text),
        mimeType: optional(text),
        name: optional(text),
      }),
    ),
    data: optional(object({ data: anyValue })),
    metadata,
  }),
);

const message = named(
  'Message',
  object({
    messageId: text,
    role: oneOf(['ROLE_USER', 'ROLE_AGENT']),
    content: list(part),
    contextId: optional(text),
    taskId: optional(text),
    extensions: optional(list(text)),
    metadata,
  }),
);

const states = [
  'UNSPECIFIED',
  'SUBMITTED',
  'WORKING',
  'INPUT_REQUIRED',
  'AUTH_REQUIRED',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'REJECTED',
].map((name) => `TASK_STATE_${name}`);

const status = named(
  'TaskStatus',
  object({ state: oneOf(states), message: optional(message), timestamp: optional(time) }),
);

const artifact = named(
  'Artifact',
  object({
    artifactId: text,
    name: optional(text),
    description: optional(text),
    parts: list(part),
    extensions: optional(list(text)),
    metadata,
  }),
);

export const task = named(
  'Task',
  object({
    id: text,
    contextId: text,
    status,
    artifacts: list(artifact),
    history: list(message),
    metadata,
  }),
);

const taskAnswer = object({ task });
const messageAnswer = object({ message });
export const sent = named('SendMessageResponse', either(taskAnswer, messageAnswer));

const ids = { taskId: text, contextId: text };
export const streamed = named(
  'StreamResponse',
  either(
    taskAnswer,
    messageAnswer,
    object({ statusUpdate: object({ ...ids, status, final: optional(flag), metadata }) }),
    object({
      artifactUpdate: object({
        ...ids,
        artifact,
        append: optional(flag),
        lastChunk: optional(flag),
        metadata,
      }),
    }),
  ),
);

export const config = named(
  'TaskPushNotificationConfig',
  object({
    name: text,
    pushNotificationConfig: object({
      id: optional(text),
      url: text,
      token: optional(text),
      authentication: optional(object({ schemes: list(text), credentials: optional(text) })),
    }),
  }),
);
export const configList = named('ListTaskPushNotificationConfigResponse', object({ configs: list(config) }));

export const card = named('AgentCard', anyObject);

export const failure = named('Error', object({ code: integer, message: text, data: optional(anyValue) }));
