/**
 * Translates between the two JSON forms of A2A 0.3, which differ in names only. JSON-RPC uses the form of the
 * JSON schema, with `kind`, which the SDK translates to and from 1.0. HTTP+JSON uses the form of the protocol
 * buffers. Its requests may also use the field names of a2a.proto (`message_id`), as ProtoJSON allows.
 */
import type { LegacyRestTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';
import { RequestMalformedError } from '@a2a-js/sdk/errors';

export type SendParams = Parameters<LegacyRestTransportHandler['sendMessage']>[0];
type V03SendResult = Awaited<ReturnType<LegacyRestTransportHandler['sendMessage']>>;
export type V03Task = Extract<V03SendResult, { kind: 'task' }>;
type Message = Extract<V03SendResult, { kind: 'message' }>;
type Part = Message['parts'][number];
type Artifact = NonNullable<V03Task['artifacts']>[number];
export type V03PushConfig = Parameters<LegacyRestTransportHandler['setTaskPushNotificationConfig']>[0];
type Stream = Awaited<ReturnType<LegacyRestTransportHandler['resubscribe']>>;
type StreamEvent = Stream extends AsyncGenerator<infer Event> ? Event : never;

export function sentToProto(sent: V03SendResult): object {
  return sent.kind === 'task' ? { task: taskToProto(sent) } : { message: messageToProto(sent) };
}

export function taskToProto(task: V03Task): object {
  const { kind: _, status, artifacts = [], history = [], ...same } = task;
  return {
    ...same,
    status: statusToProto(status),
    artifacts: artifacts.map(artifactToProto),
    history: history.map(messageToProto),
  };
}

export function eventToProto(event: StreamEvent): object {
  switch (event.kind) {
    case 'task':
    case 'message':
      return sentToProto(event);
    case 'status-update': {
      const { kind: _, status, ...same } = event;
      return { statusUpdate: { ...same, status: statusToProto(status) } };
    }
    case 'artifact-update': {
      const { kind: _, artifact, ...same } = event;
      return { artifactUpdate: { ...same, artifact: artifactToProto(artifact) } };
    }
    default:
      return event satisfies never;
  }
}

function statusToProto({ state, message, timestamp }: V03Task['status']): object {
  const name = state === 'canceled' ? 'CANCELLED' : state === 'unknown' ? 'UNSPECIFIED' : state;
  return {
    state: `TASK_STATE_${name.toUpperCase().replace('-', '_')}`,
    ...(message !== undefined && { message: messageToProto(message) }),
    ...(timestamp !== undefined && { timestamp }),
  };
}

function messageToProto(message: Message): object {
  const { kind: _, role, parts, referenceTaskIds: _ids, ...same } = message;
  return { ...same, role: role === 'user' ? 'ROLE_USER' : 'ROLE_AGENT', content: parts.map(partToProto) };
}

function artifactToProto({ parts, ...same }: Artifact): object {
  return { ...same, parts: parts.map(partToProto) };
}

function partToProto(part: Part): object {
  switch (part.kind) {
    case 'text':
      return { text: part.text };
    case 'data':
      return { data: { data: part.data } };
    case 'file': {
      const { file } = part;
      const { mimeType = '' } = file;
      return {
        file: {
          ...('uri' in file ? { fileWithUri: file.uri } : { fileWithBytes: file.bytes }),
          ...(mimeType !== '' && { mimeType }),
        },
      };
    }
    default:
      return part satisfies never;
  }
}

export function configToProto({ taskId, pushNotificationConfig }: V03PushConfig): object {
  const { id = '' } = pushNotificationConfig;
  return { name: `tasks/${taskId}/pushNotificationConfigs/${id}`, pushNotificationConfig };
}

/** @throws {RequestMalformedError} if the body is not a SendMessageRequest of A2A 0.3 */
export function sendParamsFromProto(json: unknown): SendParams {
  const body = requireObject('the body', withJsonNames(json));
  const { content, ...message } = requireObject('message', body['message'] ?? body['request']);
  if (!Array.isArray(content)) throw new RequestMalformedError('message.content must be an array of parts');
  const { pushNotification, historyLength, blocking, ...configuration } = requireObject(
    'configuration',
    body['configuration'] ?? {},
  );
  const params = {
    message: {
      ...message,
      kind: 'message',
      role: roleFromProto(message['role']),
      parts: content.map((part, index) => partFromProto(`message.content[${index}]`, part)),
    },
    // Omitted fields of protocol buffers are false and 0; a send without a configuration waits.
    ...(body['configuration'] !== undefined && {
      configuration: {
        ...configuration,
        blocking: blocking === true,
        ...(pushNotification !== undefined && { pushNotificationConfig: pushNotification }),
        ...(typeof historyLength === 'number' && historyLength > 0 && { historyLength }),
      },
    }),
    ...(body['metadata'] !== undefined && { metadata: requireObject('metadata', body['metadata']) }),
  };
  return params as SendParams;
}

function roleFromProto(role: unknown): Message['role'] {
  if (role === 'ROLE_USER' || role === 1) return 'user';
  if (role === 'ROLE_AGENT' || role === 2) return 'agent';
  throw new RequestMalformedError('message.role must be ROLE_USER');
}

function partFromProto(where: string, json: unknown): Part {
  const part = requireObject(where, json);
  if (typeof part['text'] === 'string') return { kind: 'text', text: part['text'] };
  if (part['data'] !== undefined) {
    return {
      kind: 'data',
      data: requireObject(`${where}.data.data`, requireObject(`${where}.data`, part['data'])['data']),
    };
  }
  const { fileWithUri, fileWithBytes, mimeType } = requireObject(`${where}.file`, part['file'] ?? {});
  const type = typeof mimeType === 'string' ? { mimeType } : {};
  if (typeof fileWithUri === 'string') return { kind: 'file', file: { uri: fileWithUri, ...type } };
  if (typeof fileWithBytes === 'string') return { kind: 'file', file: { bytes: fileWithBytes, ...type } };
  throw new RequestMalformedError(`${where} has no content: set one of text, file or data`);
}

/** @throws {RequestMalformedError} if the body is not a TaskPushNotificationConfig of A2A 0.3 */
export function configFromProto(taskId: string, json: unknown): V03PushConfig {
  const body = requireObject('the body', withJsonNames(json));
  // The reference servers accept the config with or without an outer `config`.
  const outer = requireObject('config', body['config'] ?? body);
  const config = requireObject('pushNotificationConfig', outer['pushNotificationConfig']);
  const id = config['id'] ?? body['configId'];
  return { taskId, pushNotificationConfig: { ...config, id } } as unknown as V03PushConfig;
}

/** Fields whose content belongs to the client and is kept unchanged, names included. */
const opaqueFields = new Set(['metadata', 'data']);

/** Renames all fields to camelCase, and drops those that are null: they count as omitted. */
function withJsonNames(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(withJsonNames);
  if (typeof json !== 'object' || json === null) return json;
  const fields = Object.entries(json).filter(([, value]) => value !== null);
  return Object.fromEntries(
    fields.map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      opaqueFields.has(name) ? (value as unknown) : withJsonNames(value),
    ]),
  );
}

function requireObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new RequestMalformedError(`${name} must be an object`);
}
