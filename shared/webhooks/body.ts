/**
 * The body of a webhook: a `StreamResponse` (A2A 1.0, section 4.3.3). When the task ends or waits for the
 * caller, the body contains the whole Task with its artifacts, so that the receiver need not fetch them.
 * Other events are sent as they are streamed. A receiver of A2A 0.3 gets the whole Task, in the form of that
 * version, for every change of state.
 */
import { V03PushNotificationSerializer } from '@a2a-js/sdk/compat/v0_3/server';
import { eventToWire } from '../a2a/translate.ts';
import { createBatcher } from '../db/client/batcher.ts';
import type { Db } from '../db/client/pool.ts';
import { openJson } from '../db/contents/codec.ts';
import {
  readChunks,
  readEvent,
  readStatusAsOf,
  readTaskAsOf,
  readTasksAsOf,
  readTaskStatus,
  type StoredEvent,
  type TaskAsOf,
} from '../db/tasks/as-of.ts';
import type { JsonObject } from '../domain/message.ts';
import { foldArtifacts, type EventPayload, type TaskStatus } from '../domain/events.ts';
import { measure } from '../domain/sizes.ts';
import { getStateClass, isTerminal, stateClass } from '../domain/task.ts';
import { databaseNow } from '../runtime/clock.ts';
import { largeWork, minLargeBytes } from '../runtime/large-work.ts';
import { webhooksExtensionUri } from './extension.ts';

export interface WebhookBody {
  json: string;
  contentType: string;
  /**
   * True if the full body was too large, so that this one lacks artifacts. The receiver may fetch the task.
   */
  truncated: boolean;
  event: Pick<StoredEvent, 'createdAt'>;
  /** Whether no event of the task follows. */
  isLast: boolean;
}

const v03 = new V03PushNotificationSerializer();

/**
 * Returns whether a delivery is a test. Tests have negative numbers; see shared/db/webhooks/deliveries.ts.
 */
export function isTest(seq: number): boolean {
  return seq < 0;
}

interface EventKey {
  taskId: string;
  config: { owner: string };
  /** The number of the event; negative for a test. */
  seq: number;
  /** The first of the events that were merged into this one, or null (see shared/db/webhooks/attempts/coalesce.ts). */
  mergedFrom: number | null;
}

export interface BodyOptions {
  /** A body above this is replaced by a smaller form. */
  maxBytes: number;
  /** The protocol version with which the config was created. */
  version: string;
  /** The URL of the config, which the body names: the signature covers it. */
  audience: string;
  /** The event as stored, if it has been read already. */
  event?: StoredEvent | undefined;
}

/**
 * Reads what a body contains, and builds it.
 *
 * @returns undefined if the event is no longer stored
 */
export type ReadWebhookBody = (event: EventKey, options: BodyOptions) => Promise<WebhookBody | undefined>;

/** Artifacts of a task that is read in a set. Those of larger tasks are read alone, so that a set remains small. */
const smallTaskBytes = 64 * 1024;

/** Reads small tasks in sets. Large bodies are built in turn with those of other owners. */
export function createBodyReader(db: Db): ReadWebhookBody {
  const readSmallTask = createBatcher(
    (keys: readonly Pick<EventKey, 'taskId' | 'seq'>[]) =>
      readTasksAsOf(
        db,
        keys.map((key) => ({ ...key, maxArtifactBytes: smallTaskBytes })),
      ),
    { max: 64, lanes: 2 },
  );

  async function readTask(
    { taskId, seq, config }: EventKey,
    maxArtifactBytes: number,
  ): Promise<TaskAsOf | undefined> {
    const small = await readSmallTask({ taskId, seq });
    if (small === undefined || small.artifacts !== undefined || maxArtifactBytes <= smallTaskBytes)
      return small;
    return readTaskAsOf(db, { taskId, owner: config.owner, seq, maxArtifactBytes });
  }

  async function openEvent(
    { taskId, seq }: EventKey,
    known: StoredEvent | undefined,
  ): Promise<StoredEvent | undefined> {
    if (known === undefined) return readEvent(db, taskId, seq);
    return { ...known, payload: await openJson('event', taskId, known.payload) };
  }

  return async (key, { maxBytes, version, audience, event: known }) => {
    const { taskId, seq, mergedFrom } = key;
    const event = await (isTest(seq) ? readTestEvent(db, taskId) : openEvent(key, known));
    const facts: WebhookFacts = { ...(isTest(seq) ? { test: true } : { event: seq }), audience };
    if (event === undefined) return undefined;
    const payload =
      mergedFrom === null
        ? event.payload
        : await readMergedChunks(db, taskId, mergedFrom, seq, event.payload);
    const legacy = version === '0.3';
    const sendsTask =
      'statusUpdate' in payload && event.kind === 'state' && (legacy || settles(payload.statusUpdate.status));
    if (measure(payload, minLargeBytes) >= minLargeBytes) await largeWork.start(key.config.owner);
    // Artifacts take several times as much space in events as in a task.
    const forms = sendsTask
      ? toTaskForms(await readTask(key, 4 * maxBytes), facts, legacy ? 0 : maxBytes)
      : await readEventForms(db, { taskId, seq }, facts, payload, maxBytes);
    const bodies = legacy ? forms.map((form) => form && toV03(form)) : forms;
    const fits = (body: string | undefined) => body !== undefined && Buffer.byteLength(body) <= maxBytes;
    const json = bodies.find(fits) ?? bodies.at(-1);
    if (json === undefined) return undefined;
    const contentType = legacy ? 'application/json' : 'application/a2a+json';
    return { json, contentType, truncated: json !== bodies[0], event, isLast: endsTask(event) };
  };
}

/** Returns one chunk in place of several chunks of an artifact. Other events are returned as they are. */
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

/** A test contains the current state of the task. */
async function readTestEvent(db: Db, taskId: string): ReturnType<typeof readEvent> {
  const task = await readTaskStatus(db, taskId);
  if (task === undefined) return undefined;
  const createdAt = new Date(databaseNow());
  return { kind: 'progress', payload: { statusUpdate: task }, traceparent: null, createdAt };
}

function toV03(form: string): string {
  return v03.serialize(eventToWire(JSON.parse(form) as Parameters<typeof eventToWire>[0])).body;
}

function endsTask({ kind, payload }: Pick<StoredEvent, 'kind' | 'payload'>): boolean {
  return kind === 'state' && 'statusUpdate' in payload && isTerminal(payload.statusUpdate.status.state);
}

function settles(status: TaskStatus): boolean {
  return getStateClass(status.state) !== stateClass.runnable;
}

/** The forms of a body, from the full one to the bare status; undefined if one is too large to be built. */
type Forms = (string | undefined)[];

/** @param enoughBytes smaller forms than one of this size are not needed */
function toTaskForms(read: TaskAsOf | undefined, facts: WebhookFacts, enoughBytes: number): Forms {
  if (read === undefined) return [];
  const task = withFacts(read, facts);
  const { artifacts, ...rest } = task;
  const { id, contextId, status } = rest;
  const whole = artifacts === undefined ? undefined : JSON.stringify({ task });
  if (whole !== undefined && Buffer.byteLength(whole) <= enoughBytes) return [whole];
  return [
    whole,
    JSON.stringify({ task: rest }),
    JSON.stringify({ task: withFacts({ id, contextId, status: toBareStatus(status) }, facts) }),
  ];
}

async function readEventForms(
  db: Db,
  { taskId, seq }: Pick<EventKey, 'taskId' | 'seq'>,
  facts: WebhookFacts,
  payload: EventPayload,
  maxBytes: number,
): Promise<Forms> {
  const whole = JSON.stringify(
    'statusUpdate' in payload
      ? { statusUpdate: withFacts(payload.statusUpdate, facts) }
      : { artifactUpdate: withFacts(payload.artifactUpdate, facts) },
  );
  if (Buffer.byteLength(whole) <= maxBytes) return [whole];
  const { contextId } = 'statusUpdate' in payload ? payload.statusUpdate : payload.artifactUpdate;
  const status = await readStatusAsOf(db, taskId, seq);
  if (status === undefined) return [whole];
  const statusUpdate = withFacts({ taskId, contextId, status: toBareStatus(status) }, facts);
  return [whole, JSON.stringify({ statusUpdate })];
}

/** The facts about a webhook in the metadata of its body. */
type WebhookFacts = ({ event: number } | { test: true }) & { audience: string };

/**
 * Adds the facts to the metadata. The signature covers them: it proves to a receiver that the webhook was made for its
 * URL, and they remain when a body is stored without its headers.
 */
function withFacts<T extends object>(update: T & { metadata?: JsonObject }, facts: WebhookFacts): T {
  const options = update.metadata?.[webhooksExtensionUri];
  const all = { ...(typeof options === 'object' && !Array.isArray(options) ? options : {}), ...facts };
  return { ...update, metadata: { ...update.metadata, [webhooksExtensionUri]: all } };
}

function toBareStatus(status: TaskStatus): TaskStatus {
  return { state: status.state, timestamp: status.timestamp };
}
