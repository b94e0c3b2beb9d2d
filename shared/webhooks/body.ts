/**
 * What a webhook says about an event: a `StreamResponse` (A2A 1.0, section 4.3.3). A state in which the task ends or
 * waits for the caller carries the Task with its artifacts, so that results arrive by push; every other event is sent
 * as it is streamed.
 */
import type { Db } from '../db/database.ts';
import { readEvent, readStatusAsOf, readTaskAsOf } from '../db/task-as-of.ts';
import type { EventPayload, TaskStatus } from '../domain/events.ts';
import { classOf, stateClass } from '../domain/task.ts';

export interface WebhookBody {
  json: string;
  /** The whole would have been too large: this is the status, and the receiver may fetch the rest. */
  truncated: boolean;
}

/** @returns undefined where there is no such event any more */
export async function readWebhookBody(
  db: Db,
  taskId: string,
  seq: number,
  maxBytes: number,
): Promise<WebhookBody | undefined> {
  const event = await readEvent(db, taskId, seq);
  if (event === undefined) return undefined;
  const { payload } = event;
  const forms =
    'statusUpdate' in payload && event.kind === 'state' && settles(payload.statusUpdate.status)
      ? await taskForms(db, taskId, seq, maxBytes)
      : await eventForms(db, taskId, seq, payload, maxBytes);
  const fits = (form: string | undefined) => form !== undefined && Buffer.byteLength(form) <= maxBytes;
  const json = forms.find(fits) ?? forms.at(-1);
  return json === undefined ? undefined : { json, truncated: json !== forms[0] };
}

function settles(status: TaskStatus): boolean {
  return classOf(status.state) !== stateClass.runnable;
}

/** Forms of a body, from the whole to the bare status; undefined: too large to be made. */
type Forms = (string | undefined)[];

async function taskForms(db: Db, taskId: string, seq: number, maxBytes: number): Promise<Forms> {
  // As events, artifacts take several times the space that they take in a task.
  const task = await readTaskAsOf(db, taskId, seq, 4 * maxBytes);
  if (task === undefined) return [];
  const { artifacts, ...rest } = task;
  const { id, contextId, status } = rest;
  const whole = artifacts === undefined ? undefined : JSON.stringify({ task });
  return [
    whole,
    JSON.stringify({ task: rest }),
    JSON.stringify({ task: { id, contextId, status: bare(status) } }),
  ];
}

async function eventForms(
  db: Db,
  taskId: string,
  seq: number,
  payload: EventPayload,
  maxBytes: number,
): Promise<Forms> {
  const whole = JSON.stringify(payload);
  if (Buffer.byteLength(whole) <= maxBytes) return [whole];
  const { contextId } = 'statusUpdate' in payload ? payload.statusUpdate : payload.artifactUpdate;
  const status = await readStatusAsOf(db, taskId, seq);
  if (status === undefined) return [whole];
  return [whole, JSON.stringify({ statusUpdate: { taskId, contextId, status: bare(status) } })];
}

function bare(status: TaskStatus): TaskStatus {
  return { state: status.state, timestamp: status.timestamp };
}
