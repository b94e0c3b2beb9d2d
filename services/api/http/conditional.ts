/**
 * Polling that costs little: a task has an entity tag, made of the number of its last event and of the messages that it
 * has, so that whether it has changed is one narrow read; and a client may ask to be answered only once it has
 * (`Prefer: wait`, RFC 7240), which follows the task's events like a stream (invariant 5).
 */
import type { User } from '@a2a-js/sdk/server';
import type { Follower } from '#shared/db/events/follower.ts';
import type { Caller, ReadTaskVersion, TaskVersion } from '#shared/db/tasks/read.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { stateClass } from '#shared/domain/task.ts';
import type { OpenStreams } from '../limits/open-streams.ts';
import { within } from '../handler/with-timeout.ts';

/** Longer waits are cut to this. */
export const maxWaitSeconds = 60;

/**
 * Changes whenever what GetTask answers does: with each event, with a message that waits for its turn, and with what the
 * task has used.
 */
export function toEntityTag(
  taskId: string,
  { lastEvent, lastTurn, modelCalls }: Omit<TaskVersion, 'stateClass'>,
): string {
  return `"${taskId}-${lastEvent}.${lastTurn}.${modelCalls}"`;
}

/** RFC 9110, section 13.1.2: `*`, or a list of tags of which one is ours, weak or not. */
export function matchesEntityTag(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch.trim() === '*') return true;
  return ifNoneMatch.match(/"[^"]*"/g)?.some((tag) => tag === etag) ?? false;
}

/** The seconds that a client is ready to wait (RFC 7240, section 4.3); undefined where it does not ask to. */
export function waitPreference(prefer: string | string[] | undefined): number | undefined {
  const text = Array.isArray(prefer) ? prefer.join(',') : (prefer ?? '');
  const seconds = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:[;,]|$)/i.exec(text)?.[1];
  return seconds === undefined ? undefined : Math.min(Number(seconds), maxWaitSeconds);
}

export interface ConditionalParts {
  readVersion: ReadTaskVersion;
  follower: Follower;
  streams: OpenStreams;
}

export interface ConditionalRequest {
  caller: Caller;
  user: User | undefined;
  taskId: string;
  ifNoneMatch: string | undefined;
  prefer: string | string[] | undefined;
  /** Aborts when the client has gone. */
  signal: () => AbortSignal;
}

export interface Condition {
  /** Whether the client has the task as it is: the answer is 304, without a body. */
  notModified: boolean;
  /** For the answer, whichever it is; `etag` is set on 304 only, since a task that is read has its own. */
  headers: { etag?: string; 'preference-applied'?: string };
}

/**
 * Decides between 304 and reading the task; with a preference to wait, after the task has changed or the time is over.
 * A task that the caller does not have is not "not modified": reading it then says so.
 *
 * @throws {TooManyRequestsError} where the caller waits for too many tasks at once
 */
export async function checkCondition(
  parts: ConditionalParts,
  request: ConditionalRequest,
): Promise<Condition> {
  const { ifNoneMatch, taskId, caller } = request;
  if (ifNoneMatch === undefined || !isUuid(taskId)) return { notModified: false, headers: {} };
  const current = async (): Promise<(TaskVersion & { etag: string }) | undefined> => {
    const version = await parts.readVersion(caller, taskId);
    if (version === undefined) return undefined;
    const etag = toEntityTag(taskId, version);
    return matchesEntityTag(ifNoneMatch, etag) ? { ...version, etag } : undefined;
  };
  let known = await current();
  const wait = waitPreference(request.prefer);
  if (wait === undefined) {
    return known === undefined
      ? { notModified: false, headers: {} }
      : { notModified: true, headers: { etag: known.etag } };
  }
  const applied = { 'preference-applied': `wait=${wait}` };
  if (known !== undefined && known.stateClass !== stateClass.terminal && wait > 0) {
    await nextEvent(parts, request, known.lastEvent, wait);
    known = await current();
  }
  return known === undefined
    ? { notModified: false, headers: applied }
    : { notModified: true, headers: { ...applied, etag: known.etag } };
}

/** Until there is an event after this one, the time is over, or the client has gone. */
async function nextEvent(
  { follower, streams }: ConditionalParts,
  { taskId, user, signal }: ConditionalRequest,
  after: number,
  seconds: number,
): Promise<void> {
  const close = streams.open(user);
  try {
    await within(seconds * 1000, signal(), async (stop) => {
      for await (const _event of follower.follow(taskId, after, stop)) break;
    });
  } finally {
    close();
  }
}
