/** The params of each method of A2A 0.3 (0.3, section 7), in the form of its JSON schema. */
import * as v from 'valibot';
import type { Params } from '../../handler/operations.ts';
import {
  Count,
  excluded,
  Flag,
  NonEmptyText,
  object,
  parseFields,
  PushConfig,
  Struct,
  Text,
  Texts,
  withoutNulls,
} from '../v03/fields.ts';

const metadata = v.optional(Struct);

const File = v.pipe(
  object({
    bytes: v.optional(Text),
    uri: v.optional(NonEmptyText),
    mimeType: v.optional(Text),
    name: v.optional(Text),
  }),
  v.check(({ bytes, uri }) => (bytes === undefined) !== (uri === undefined), 'must have either bytes or uri'),
);

const Part = v.variant(
  'kind',
  [
    v.object(
      { kind: v.literal('text'), text: Text, file: excluded('text'), data: excluded('text'), metadata },
      'is missing',
    ),
    v.object(
      { kind: v.literal('file'), file: File, text: excluded('file'), data: excluded('file'), metadata },
      'is missing',
    ),
    v.object(
      { kind: v.literal('data'), data: Struct, text: excluded('data'), file: excluded('data'), metadata },
      'is missing',
    ),
  ],
  ({ expected }) =>
    expected === 'Object' ? 'must be an object' : 'must be one of "text", "file" and "data"',
);

const Message = object({
  messageId: NonEmptyText,
  role: v.picklist(['user', 'agent'], 'must be "user"'),
  parts: v.array(Part, 'must be an array'),
  contextId: v.optional(Text),
  taskId: v.optional(Text),
  referenceTaskIds: v.optional(Texts),
  extensions: v.optional(Texts),
  metadata,
});

const Send = object({
  message: Message,
  configuration: v.optional(
    object({
      acceptedOutputModes: v.optional(Texts),
      // The specification names no default. The reference servers wait, and the SDK does not.
      blocking: v.optional(Flag, true),
      historyLength: v.optional(Count),
      pushNotificationConfig: v.optional(PushConfig),
    }),
  ),
  metadata,
});

const Task = object({ id: NonEmptyText, metadata });

const schemas: ReadonlyMap<string, v.GenericSchema<unknown, object>> = new Map<
  string,
  v.GenericSchema<unknown, object>
>([
  ['message/send', Send],
  ['message/stream', Send],
  ['tasks/get', object({ id: NonEmptyText, historyLength: v.optional(Count), metadata })],
  ['tasks/cancel', Task],
  ['tasks/resubscribe', Task],
  ['tasks/pushNotificationConfig/set', object({ taskId: NonEmptyText, pushNotificationConfig: PushConfig })],
  [
    'tasks/pushNotificationConfig/get',
    object({ id: NonEmptyText, pushNotificationConfigId: v.optional(Text) }),
  ],
  ['tasks/pushNotificationConfig/list', Task],
  [
    'tasks/pushNotificationConfig/delete',
    object({ id: NonEmptyText, pushNotificationConfigId: NonEmptyText }),
  ],
]);

/**
 * Returns the params of a call with their defaults. Params of unknown methods are returned as they are.
 *
 * @throws {RequestMalformedError} that names the field that is not valid
 */
export function readV03Params(method: string, params: Params): object {
  const schema = schemas.get(method);
  return schema === undefined ? params : parseFields(schema, withoutNulls(params));
}
