/**
 * The two JSON forms of A2A 0.3: that of its JSON schema, with `kind`, which JSON-RPC carries and the SDK translates to
 * and from 1.0; and that of its protocol buffers, which HTTP+JSON carries. They say the same with other names. Of the
 * latter, readers take the names of fields as a2a.proto writes them too (`message_id`), as ProtoJSON has it.
 */
import type { LegacyRestTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';
import { RequestMalformedError } from '@a2a-js/sdk/errors';

export type SendParams = Parameters<LegacyRestTransportHandler['sendMessage']>[0];
type Sent = Awaited<ReturnType<LegacyRestTransportHandler['sendMessage']>>;
export type Task = Extract<Sent, { kind: 'task' }>;
type Message = Extract<Sent, { kind: 'message' }>;
type Part = Message['parts'][number];
type Artifact = NonNullable<Task['artifacts']>[number];
export type Config = Parameters<LegacyRestTransportHandler['setTaskPushNotificationConfig']>[0];
type Stream = Awaited<ReturnType<LegacyRestTransportHandler['resubscribe']>>;
type StreamEvent = Stream extends AsyncGenerator<infer Event> ? Event : never;

export function sentToProto(sent: Sent): object {
  return sent.kind === 'task' ? { task: taskToProto(sent) } : { message: messageToProto(sent) };
}

export function taskToProto(task: Task): object {
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

function statusToProto({ state, message, timestamp }: Task['status']): object {
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

export function configToProto({ taskId, pushNotificationConfig }: Config): object {
  const { id = '' } = pushNotificationConfig;
  return { name: `tasks/${taskId}/pushNotificationConfigs/${id}`, pushNotificationConfig };
}

/** @throws {RequestMalformedError} for what is not a SendMessageRequest of A2A 0.3 */
export function sendParamsFromProto(json: unknown): SendParams {
  const body = objectOf('the body', withJsonNames(json));
  const { content, ...message } = objectOf('message', body['message'] ?? body['request']);
  if (!Array.isArray(content)) throw new RequestMalformedError('message.content must be an array of parts');
  const { pushNotification, historyLength, blocking, ...configuration } = objectOf(
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
    // Fields that protocol buffers leave out are false and 0; without any configuration a send waits.
    ...(body['configuration'] !== undefined && {
      configuration: {
        ...configuration,
        blocking: blocking === true,
        ...(pushNotification !== undefined && { pushNotificationConfig: pushNotification }),
        ...(typeof historyLength === 'number' && historyLength > 0 && { historyLength }),
      },
    }),
    ...(body['metadata'] !== undefined && { metadata: objectOf('metadata', body['metadata']) }),
  };
  return params as SendParams;
}

function roleFromProto(role: unknown): Message['role'] {
  if (role === 'ROLE_USER' || role === 1) return 'user';
  if (role === 'ROLE_AGENT' || role === 2) return 'agent';
  throw new RequestMalformedError('message.role must be ROLE_USER');
}

function partFromProto(where: string, json: unknown): Part {
  const part = objectOf(where, json);
  if (typeof part['text'] === 'string') return { kind: 'text', text: part['text'] };
  if (part['data'] !== undefined) {
    return {
      kind: 'data',
      data: objectOf(`${where}.data.data`, objectOf(`${where}.data`, part['data'])['data']),
    };
  }
  const { fileWithUri, fileWithBytes, mimeType } = objectOf(`${where}.file`, part['file'] ?? {});
  const type = typeof mimeType === 'string' ? { mimeType } : {};
  if (typeof fileWithUri === 'string') return { kind: 'file', file: { uri: fileWithUri, ...type } };
  if (typeof fileWithBytes === 'string') return { kind: 'file', file: { bytes: fileWithBytes, ...type } };
  throw new RequestMalformedError(`${where} has no content: set one of text, file or data`);
}

/** @throws {RequestMalformedError} for what is not a TaskPushNotificationConfig of A2A 0.3 */
export function configFromProto(taskId: string, json: unknown): Config {
  const body = objectOf('the body', withJsonNames(json));
  // The reference servers take the config bare or wrapped once more.
  const outer = objectOf('config', body['config'] ?? body);
  const config = objectOf('pushNotificationConfig', outer['pushNotificationConfig']);
  const id = config['id'] ?? body['configId'];
  return { taskId, pushNotificationConfig: { ...config, id } } as unknown as Config;
}

/** Fields in which everything is the caller's own, names included. */
const opaque = new Set(['metadata', 'data']);

/** A request with the names of its fields in camelCase, and without those that are null: they count as left out. */
function withJsonNames(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(withJsonNames);
  if (typeof json !== 'object' || json === null) return json;
  const fields = Object.entries(json).filter(([, value]) => value !== null);
  return Object.fromEntries(
    fields.map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      opaque.has(name) ? (value as unknown) : withJsonNames(value),
    ]),
  );
}

function objectOf(name: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new RequestMalformedError(`${name} must be an object`);
}
