/** Schemas of the requests of A2A 1.0, from the tables that check their fields. */
import type { FieldType, MessageType } from '../../../handler/validate/fields.ts';
import { message, part, pushConfigType } from '../../../handler/validate/request-types.ts';
import {
  anyObject,
  anyValue,
  describe,
  flag,
  integer,
  list,
  named,
  object,
  oneOf,
  optional,
  text,
  type ObjectSchema,
  type Schema,
} from '../schema.ts';

/** Fields that need more than their name. */
const descriptions: Readonly<Record<string, string>> = {
  'Message.messageId': 'Chosen by the client. A repeated send with the same id returns the same task.',
  'Message.taskId': 'Continues a task. Absent: a new task.',
  'Message.contextId': 'Groups tasks. Absent: a new context.',
  'Message.role': 'Clients send ROLE_USER.',
  'Part.mediaType': 'RFC 9110, section 8.3. Absent: text/plain of a text, application/json of data.',
  'SendMessageConfiguration.returnImmediately':
    'True: the answer is the accepted task. False: it is sent when the task has ended or waits, or after a time limit.',
  'SendMessageConfiguration.historyLength': 'The most messages of the history that the answer contains.',
  'TaskPushNotificationConfig.id': 'Absent: chosen by the server. A config with the same id is replaced.',
  'TaskPushNotificationConfig.token': 'Sent with each webhook in X-A2A-Notification-Token.',
};

/** The types that have names, so that a component is made once. */
const components = new Map<MessageType, Schema>();

/** Returns the schema of a message: a reference, if it has a name. */
export function toSchema(type: MessageType): Schema {
  if (type === part) return partSchema;
  const { name } = type;
  if (name === undefined) return toObject(type);
  const known = components.get(type) ?? named(name, toObject(type));
  components.set(type, known);
  return known;
}

/** @param without fields that are elsewhere in the request */
export function toObject(type: MessageType, without: readonly string[] = []): ObjectSchema {
  const { name = '', fields, required = [] } = type;
  const entries = Object.entries(fields).filter(([field]) => !without.includes(field));
  return object(
    Object.fromEntries(
      entries.map(([field, fieldType]) => {
        const schema = describeField(`${name}.${field}`, toFieldSchema(fieldType));
        return [field, required.includes(field) ? schema : optional(schema)];
      }),
    ),
  );
}

function describeField(name: string, schema: Schema): Schema {
  const description = descriptions[name];
  return description === undefined ? schema : describe(schema, description);
}

export function toFieldSchema(type: FieldType): Schema {
  if (typeof type === 'string') return scalars[type];
  if ('values' in type) return oneOf(type.values);
  return 'list' in type ? list(toFieldSchema(type.list)) : toSchema(type);
}

const scalars: Readonly<Record<Extract<FieldType, string>, Schema>> = {
  string: text,
  bytes: { type: 'string', contentEncoding: 'base64' },
  boolean: flag,
  integer: { ...integer, format: 'int32' },
  object: anyObject,
  value: anyValue,
};

/** One schema for each content: a part has exactly one. */
const partSchema = toPartSchema(part);

function toPartSchema({ fields, oneOf: contents = [] }: MessageType): Schema {
  const schemas = contents.map((content) => {
    const others = contents.filter((other) => other !== content);
    const schema = toObject({ name: 'Part', fields, required: [content] }, others);
    return named(`${content[0]?.toUpperCase()}${content.slice(1)}Part`, schema);
  });
  return named('Part', { oneOf: schemas });
}

export const messageSchema = toSchema(message);
export const pushConfigSchema = toSchema(pushConfigType);
