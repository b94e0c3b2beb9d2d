/**
 * What a webhook says about an event: a `StreamResponse` (A2A 1.0, section 4.3.3). A state in which the task ends or
 * waits for the caller carries the Task with its artifacts, so that results arrive by push; every other event is sent
 * as it is streamed. Receivers of A2A 0.3 get the whole Task about every change of state, in the form of that version.
 */
import { StreamResponse } from '@a2a-js/sdk';
import { V03PushNotificationSerializer } from '@a2a-js/sdk/compat/v0_3/server';
import type { Db } from '../db/client/pool.ts';
import {
  readChunks,
  readEvent,
  readStatusAsOf,
  readTaskAsOf,
  readTaskStatus,
  type StoredEvent,
} from '../db/tasks/as-of.ts';
import type { JsonObject } from '../domain/message.ts';
import { foldArtifacts, type EventPayload, type TaskStatus } from '../domain/events.ts';
import { getStateClass, stateClass } from '../domain/task.ts';
import { webhooksExtensionUri } from './options.ts';

export interface WebhookBody {
  json: string;
  contentType: string;
  /** The whole would have been too large: this is the status, and the receiver may fetch the rest. */
  truncated: boolean;
  event: Pick<StoredEvent, 'traceparent' | 'age'>;
}

const v03 = new V03PushNotificationSerializer();

/** One chunk in place of several of the same artifact; what is no chunk stays as it is. */
async function readMergedChunks(
  db: Db,
  taskId: string,
  from: number,
  to: number,
  payload: EventPayload,
): Promise<EventPayload> {
  if (!('artifactUpdate' in payload)) return payload;
  const { artifactUpdate: last } = payload;
  const chunks = await readChunks(db, taskId, last.artifact.artifactId, from, to);
  const [artifact = last.artifact] = foldArtifacts(chunks);
  const append = chunks.every((chunk) => chunk.append === true);
  return { artifactUpdate: { ...last, artifact, append } };
}

/** Tests are numbered below the events; see ../db/webhook-deliveries.ts. */
export function isTest(seq: number): boolean {
  return seq < 0;
}

/**
 * @param version of the protocol, as the config was registered
 * @param mergedFrom the first event that this one tells of as well (see ../db/merge-deliveries.ts)
 * @returns undefined where there is no such event any more
 */
export async function readWebhookBody(
  db: Db,
  taskId: string,
  seq: number,
  maxBytes: number,
  version: string,
  mergedFrom: number | null,
): Promise<WebhookBody | undefined> {
  const event = isTest(seq) ? await testEvent(db, taskId) : await readEvent(db, taskId, seq);
  if (event === undefined) return undefined;
  const payload =
    mergedFrom === null ? event.payload : await readMergedChunks(db, taskId, mergedFrom, seq, event.payload);
  const legacy = version === '0.3';
  const whole =
    'statusUpdate' in payload && event.kind === 'state' && (legacy || settles(payload.statusUpdate.status));
  const forms = whole
    ? await taskForms(db, taskId, seq, maxBytes)
    : await eventForms(db, taskId, seq, payload, maxBytes);
  const written = legacy ? forms.map((form) => form && inV03(form)) : forms;
  const fits = (form: string | undefined) => form !== undefined && Buffer.byteLength(form) <= maxBytes;
  const json = written.find(fits) ?? written.at(-1);
  if (json === undefined) return undefined;
  const contentType = legacy ? 'application/json' : 'application/a2a+json';
  return { json, contentType, truncated: json !== written[0], event };
}

/** Tells the state of the task as it is, and that it is a test. */
async function testEvent(db: Db, taskId: string): ReturnType<typeof readEvent> {
  const task = await readTaskStatus(db, taskId);
  if (task === undefined) return undefined;
  const statusUpdate = { ...task, metadata: { [webhooksExtensionUri]: { test: true } } };
  return { kind: 'progress', payload: { statusUpdate }, traceparent: null, age: 0 };
}

function inV03(form: string): string {
  return v03.serialize(StreamResponse.fromJSON(JSON.parse(form))).body;
}

function settles(status: TaskStatus): boolean {
  return getStateClass(status.state) !== stateClass.runnable;
}

/** Forms of a body, from the whole to the bare status; undefined: too large to be made. */
type Forms = (string | undefined)[];

async function taskForms(db: Db, taskId: string, seq: number, maxBytes: number): Promise<Forms> {
  // As events, artifacts take several times the space that they take in a task.
  const read = await readTaskAsOf(db, taskId, seq, 4 * maxBytes);
  if (read === undefined) return [];
  const task = numbered(read, seq);
  const { artifacts, ...rest } = task;
  const { id, contextId, status } = rest;
  const whole = artifacts === undefined ? undefined : JSON.stringify({ task });
  return [
    whole,
    JSON.stringify({ task: rest }),
    JSON.stringify({ task: numbered({ id, contextId, status: bare(status) }, seq) }),
  ];
}

async function eventForms(
  db: Db,
  taskId: string,
  seq: number,
  payload: EventPayload,
  maxBytes: number,
): Promise<Forms> {
  const whole = JSON.stringify(
    'statusUpdate' in payload
      ? { statusUpdate: numbered(payload.statusUpdate, seq) }
      : { artifactUpdate: numbered(payload.artifactUpdate, seq) },
  );
  if (Buffer.byteLength(whole) <= maxBytes) return [whole];
  const { contextId } = 'statusUpdate' in payload ? payload.statusUpdate : payload.artifactUpdate;
  const status = await readStatusAsOf(db, taskId, seq);
  if (status === undefined) return [whole];
  const statusUpdate = numbered({ taskId, contextId, status: bare(status) }, seq);
  return [whole, JSON.stringify({ statusUpdate })];
}

/** With the number of the event in its metadata, for those who keep a body without its headers. */
function numbered<T extends object>(about: T & { metadata?: JsonObject }, seq: number): T {
  if (isTest(seq)) return about;
  const options = about.metadata?.[webhooksExtensionUri];
  const event = { ...(typeof options === 'object' && !Array.isArray(options) ? options : {}), event: seq };
  return { ...about, metadata: { ...about.metadata, [webhooksExtensionUri]: event } };
}

function bare(status: TaskStatus): TaskStatus {
  return { state: status.state, timestamp: status.timestamp };
}
