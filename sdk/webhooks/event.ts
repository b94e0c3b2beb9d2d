/** The event of a webhook, read from a body whose signature was checked (docs/use/webhooks.md). */
import type { ArtifactUpdate, StatusUpdate } from '#shared/domain/events.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import type { Task } from '../task.ts';
import { WebhookError } from './error.ts';

interface EventBase {
  /** The `webhook-id`: the same for all attempts at one event. */
  id: string;
  /** The URL for which the webhook was made; undefined from agents that name none. */
  audience: string | undefined;
  taskId: string;
  contextId: string;
  /** The number of the event within its task, from 1; undefined for a test, and from agents that number no events. */
  event: number | undefined;
  /** A test that the owner of the task requested. */
  test: boolean;
  /** The body lacks content because of its size: read the task. It comes from a header, which is not signed. */
  truncated: boolean;
  /** The time of this attempt. */
  sentAt: Date;
}

export type WebhookEvent = EventBase &
  (
    | {
        /** The state of the task has changed, or its agent reports progress. */
        type: 'status';
        statusUpdate: StatusUpdate;
      }
    | {
        /** An artifact, or a chunk of one. */
        type: 'artifact';
        artifactUpdate: ArtifactUpdate;
      }
    | {
        /** The task has ended or waits for its caller: the whole task. */
        type: 'task';
        task: Task;
      }
    | {
        /** The config was created with A2A 0.3: a task in the form of that version. */
        type: 'v0.3';
        task: JsonObject;
      }
  );

interface Envelope {
  id: string;
  sentAt: Date;
  truncated: boolean;
}

/** @throws {WebhookError} if the body is not an event */
export function parseEvent(body: Buffer, envelope: Envelope): WebhookEvent {
  const json = parseJson(body);
  const { statusUpdate, artifactUpdate, task } = json;
  if (isObject(statusUpdate)) {
    const base = readBase(envelope, statusUpdate['taskId'], statusUpdate);
    return { ...base, type: 'status', statusUpdate: statusUpdate as unknown as StatusUpdate };
  }
  if (isObject(artifactUpdate)) {
    const base = readBase(envelope, artifactUpdate['taskId'], artifactUpdate);
    return { ...base, type: 'artifact', artifactUpdate: artifactUpdate as unknown as ArtifactUpdate };
  }
  if (isObject(task)) {
    return { ...readBase(envelope, task['id'], task), type: 'task', task: task as unknown as Task };
  }
  if (json['kind'] === 'task') return { ...readBase(envelope, json['id'], json), type: 'v0.3', task: json };
  throw new WebhookError(
    'malformed',
    'The body is not an event of A2A (expected statusUpdate, artifactUpdate or task).',
  );
}

function parseJson(body: Buffer): JsonObject {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (isObject(json)) return json;
  } catch (error) {
    throw new WebhookError('malformed', 'The body is not JSON.', { cause: error });
  }
  throw new WebhookError('malformed', 'The body is not a JSON object.');
}

function readBase(envelope: Envelope, taskId: unknown, update: JsonObject): EventBase {
  if (typeof taskId !== 'string') throw new WebhookError('malformed', 'The body does not name its task.');
  const metadata = update['metadata'];
  const extension = isObject(metadata) ? metadata[webhooksExtensionUri] : undefined;
  const { event, test, audience } = isObject(extension) ? extension : {};
  const contextId = update['contextId'];
  return {
    ...envelope,
    taskId,
    contextId: typeof contextId === 'string' ? contextId : '',
    audience: typeof audience === 'string' ? audience : undefined,
    event: typeof event === 'number' ? event : undefined,
    test: test === true,
  };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
