/**
 * Translates answers between the two JSON forms of A2A 0.3, which differ in names only (`v03-requests.ts` does the same
 * for requests). JSON-RPC uses the form of the JSON schema, with `kind`, which the SDK translates from 1.0. HTTP+JSON
 * uses the form of the protocol buffers.
 *
 * The name of a file and the metadata of a part are in the JSON schema of 0.3.0, but were added to its protocol buffers
 * later. They are sent: current clients read or ignore them, and without them content would be lost.
 */
import type { LegacyRestTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';

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

function partToProto({ metadata, ...part }: Part): object {
  return { ...contentToProto(part), ...(metadata !== undefined && { metadata }) };
}

function contentToProto(part: Part): object {
  switch (part.kind) {
    case 'text':
      return { text: part.text };
    case 'data':
      return { data: { data: part.data } };
    case 'file': {
      const { file } = part;
      const { mimeType = '', name = '' } = file;
      return {
        file: {
          ...('uri' in file ? { fileWithUri: file.uri } : { fileWithBytes: file.bytes }),
          ...(mimeType !== '' && { mimeType }),
          ...(name !== '' && { name }),
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
