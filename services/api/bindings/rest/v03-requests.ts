/**
 * Reads requests of A2A 0.3 over HTTP+JSON: the form of its protocol buffers, whose field names may also be those of
 * a2a.proto (`message_id`), as ProtoJSON allows. Returns the form of the JSON schema, which the SDK translates.
 */
import { A2A_VERSION_HEADER } from '@a2a-js/sdk';
import type { LegacyRestTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import * as v from 'valibot';
import type { Params } from '../../handler/operations.ts';
import {
  Count,
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

type SendParams = Parameters<LegacyRestTransportHandler['sendMessage']>[0];
type SetConfigParams = Parameters<LegacyRestTransportHandler['setTaskPushNotificationConfig']>[0];
type Part = SendParams['message']['parts'][number];

const metadata = v.optional(Struct);

const File = v.pipe(
  object({
    fileWithUri: v.optional(NonEmptyText),
    fileWithBytes: v.optional(Text),
    mimeType: v.optional(Text),
    name: v.optional(Text),
  }),
  v.check(
    ({ fileWithUri, fileWithBytes }) => (fileWithUri === undefined) !== (fileWithBytes === undefined),
    'must have either fileWithUri or fileWithBytes',
  ),
  v.transform(({ fileWithUri: uri, fileWithBytes: bytes = '', mimeType, name }) => ({
    ...(uri === undefined ? { bytes } : { uri }),
    ...(mimeType !== undefined && { mimeType }),
    ...(name !== undefined && { name }),
  })),
);

const Part = v.pipe(
  object({
    text: v.optional(Text),
    file: v.optional(File),
    data: v.optional(object({ data: Struct })),
    metadata,
  }),
  v.check(
    ({ text, file, data }) => [text, file, data].filter((content) => content !== undefined).length === 1,
    'must have exactly one of text, file and data',
  ),
  v.transform(({ text = '', file, data, metadata: own }): Part => {
    const more = own && { metadata: own };
    if (file !== undefined) return { kind: 'file', file, ...more };
    return data === undefined ? { kind: 'text', text, ...more } : { kind: 'data', data: data.data, ...more };
  }),
);

const Role = v.pipe(
  v.picklist(['ROLE_USER', 'ROLE_AGENT', 1, 2], 'must be ROLE_USER'),
  v.transform((role) => (role === 'ROLE_USER' || role === 1 ? 'user' : 'agent')),
);

const Message = v.pipe(
  object({
    messageId: NonEmptyText,
    role: Role,
    // ProtoJSON omits empty lists.
    content: v.optional(v.array(Part, 'must be an array of parts'), []),
    contextId: v.optional(Text),
    taskId: v.optional(Text),
    extensions: v.optional(Texts),
    referenceTaskIds: v.optional(Texts),
    metadata,
  }),
  v.transform(({ content: parts, ...message }) => ({ ...message, kind: 'message' as const, parts })),
);

/** ProtoJSON writes whole numbers as numbers or strings. */
const Int32 = v.union(
  [Count, v.pipe(v.string(), v.regex(/^-?\d{1,10}$/), v.transform(Number))],
  Count.message,
);

/** Omitted fields of protocol buffers are false and 0: clients that do not wait omit `blocking`. */
const Configuration = v.pipe(
  object({
    acceptedOutputModes: v.optional(Texts),
    blocking: v.optional(Flag, false),
    historyLength: v.optional(Int32, 0),
    pushNotification: v.optional(PushConfig),
  }),
  v.transform(({ pushNotification, historyLength, ...configuration }) => ({
    ...configuration,
    ...(historyLength !== 0 && { historyLength }),
    ...(pushNotification !== undefined && { pushNotificationConfig: pushNotification }),
  })),
);

export const Send = object({ message: Message, configuration: v.optional(Configuration), metadata });

/** @throws {RequestMalformedError} if the body is not a SendMessageRequest of A2A 0.3 */
export function sendParamsFromProto(params: Params): SendParams {
  const { request, ...body } = withJsonNames(params);
  // The field of a2a.proto is `request`, and its JSON name is `message`.
  const message = body['message'] ?? request;
  if (v.is(object({ parts: v.array(v.unknown()), content: v.optional(v.never()) }), message)) {
    throw new RequestMalformedError(
      `message.content is missing, as in A2A 1.0: send the header ${A2A_VERSION_HEADER}: 1.0 to use that version`,
    );
  }
  return parseFields(Send, { ...body, message }) as SendParams;
}

export const Config = object({ pushNotificationConfig: PushConfig });

/** @throws {RequestMalformedError} if the body is not a TaskPushNotificationConfig of A2A 0.3 */
export function configFromProto(taskId: string, params: Params): SetConfigParams {
  const { config, configId, ...body } = withJsonNames(params);
  // The reference servers accept the config with or without an outer `config`.
  const { pushNotificationConfig } = parseFields(Config, config ?? body);
  const id = pushNotificationConfig.id ?? parseFields(v.optional(Text), configId);
  return { taskId, pushNotificationConfig: { ...pushNotificationConfig, id } } as SetConfigParams;
}

function withJsonNames(params: Params): Params {
  return withoutNulls(params, (name) =>
    name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  ) as Params;
}
