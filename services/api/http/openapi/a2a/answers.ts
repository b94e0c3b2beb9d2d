/** Schemas of the answers of A2A 1.0, in ProtoJSON: fields without a value are absent. */
import { taskStates } from '#shared/domain/task.ts';
import {
  anyObject,
  count,
  either,
  flag,
  list,
  named,
  object,
  oneOf,
  optional,
  text,
  time,
  type Schema,
} from '../schema.ts';
import { messageSchema, pushConfigSchema, toSchema } from './requests.ts';
import { part } from '../../../handler/validate/request-types.ts';

const metadata = optional(anyObject);
const ids = { taskId: text, contextId: text };

const status = named(
  'TaskStatus',
  object({ state: oneOf(taskStates), message: optional(messageSchema), timestamp: optional(time) }),
);

export const artifact = named(
  'Artifact',
  object({
    artifactId: text,
    name: optional(text),
    description: optional(text),
    parts: optional(list(toSchema(part))),
    metadata,
    extensions: optional(list(text)),
  }),
);

export const task = named(
  'Task',
  object({
    id: text,
    contextId: text,
    status,
    artifacts: optional(list(artifact)),
    history: optional(list(messageSchema)),
    metadata,
  }),
);

export const taskList = named(
  'ListTasksResponse',
  object({ tasks: list(task), nextPageToken: nextPage(), pageSize: count, totalSize: count }),
);

const statusUpdate = named('TaskStatusUpdateEvent', object({ ...ids, status, metadata }));

const artifactUpdate = named(
  'TaskArtifactUpdateEvent',
  object({ ...ids, artifact, append: optional(flag), lastChunk: optional(flag), metadata }),
);

const taskAnswer = object({ task });
const messageAnswer = object({ message: messageSchema });

export const sent = named('SendMessageResponse', either(taskAnswer, messageAnswer));

export const streamed = named(
  'StreamResponse',
  either(taskAnswer, messageAnswer, object({ statusUpdate }), object({ artifactUpdate })),
);

export const pushConfigList = named(
  'ListTaskPushNotificationConfigsResponse',
  object({ configs: optional(list(pushConfigSchema)), nextPageToken: optional(nextPage()) }),
);

export function nextPage(): Schema<string> {
  return { ...text, description: 'Empty or absent on the last page.' };
}
