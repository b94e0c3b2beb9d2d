/**
 * Conditional reads and long polls, which make polling cheap. The entity tag of a task is derived from the
 * number of its last event and of its messages, so one narrow read detects a change. With `Prefer: wait` (RFC
 * 7240) the response is delayed until the task changes; such a long poll follows the task's events like a
 * stream (invariant 5).
 */
import type { Follower } from '#shared/db/events/follower.ts';
import type { Caller, ReadTaskVersion, TaskVersion } from '#shared/db/tasks/read.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { stateClass } from '#shared/domain/task.ts';
import type { AuthenticatedCaller } from '../auth/caller.ts';
import type { OpenStreams } from '../limits/open-streams.ts';
import { withTimeout } from '../handler/stream.ts';

/** Longer waits are shortened to this. */
export const maxWaitSeconds = 60;

/**
 * Changes whenever the response of GetTask does: with each event, each queued message, and the usage of the
 * task.
 */
export function toEntityTag(
  taskId: string,
  { lastEvent, lastTurn, modelCalls }: Omit<TaskVersion, 'stateClass'>,
): string {
  return `"${taskId}-${lastEvent}.${lastTurn}.${modelCalls}"`;
}

/** Whether the header is `*` or lists the tag, weak or strong (RFC 9110, section 13.1.2). */
export function matchesEntityTag(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch.trim() === '*') return true;
  return ifNoneMatch.match(/"[^"]*"/g)?.some((tag) => tag === etag) ?? false;
}

/**
 * Returns the seconds that a client is willing to wait (RFC 7240, section 4.3), at most 60; undefined without
 * `wait`.
 */
export function parseWaitPreference(prefer: string | string[] | undefined): number | undefined {
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
  user: AuthenticatedCaller;
  taskId: string;
  ifNoneMatch: string | undefined;
  prefer: string | string[] | undefined;
  /** Aborted when the client disconnects. */
  controller: () => AbortController;
}

export interface Condition {
  /** The client has the current task: the response is 304, without a body. */
  notModified: boolean;
  /** Headers of the response. `etag` is set for a 304 only: otherwise reading the task sets it. */
  headers: { etag?: string; 'preference-applied'?: string };
}

/**
 * Decides between 304 and reading the task. With a preference to wait, decides once the task has changed or
 * the time is up. A task of another caller is never "not modified": reading it fails with "not found".
 *
 * @throws {TooManyRequestsError} if the caller has too many long polls and streams open
 * @throws {UnauthenticatedError} if the credential of the caller ends
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
  const wait = parseWaitPreference(request.prefer);
  if (wait === undefined) {
    return known === undefined
      ? { notModified: false, headers: {} }
      : { notModified: true, headers: { etag: known.etag } };
  }
  const applied = { 'preference-applied': `wait=${wait}` };
  if (known !== undefined && known.stateClass !== stateClass.terminal && wait > 0) {
    await waitForEvent(parts, request, known.lastEvent, wait);
    known = await current();
  }
  return known === undefined
    ? { notModified: false, headers: applied }
    : { notModified: true, headers: { ...applied, etag: known.etag } };
}

/** Resolves when there is an event after `after`, the time is up, or the client disconnects. */
async function waitForEvent(
  { follower, streams }: ConditionalParts,
  { taskId, user, controller }: ConditionalRequest,
  after: number,
  seconds: number,
): Promise<void> {
  const held = controller();
  const close = streams.open(user, () => held.abort());
  try {
    await withTimeout(seconds * 1000, held.signal, async (stop) => {
      for await (const _event of follower.follow(taskId, after, stop)) break;
    });
    user.credential?.check();
  } finally {
    close();
  }
}
