/**
 * The replay extension, with which a client resumes a stream after the last event that it has seen
 * (docs/extensions/replay.md).
 *
 * A client opts in by requesting the extension, or by sending the number of its last event. Each of its
 * events then carries its number in its metadata, tasks that have ended can be subscribed to, and no event is
 * lost or repeated.
 */
import type { StreamResponse } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { lastEventId } from '../handler/call-state.ts';

export const replayExtension = 'https://longhaul.dev/ext/replay/v1';

export interface Replay {
  /** The number of the last event that the client has seen; undefined: start with the current task. */
  after: number | undefined;
}

/**
 * Returns the replay that a subscription requests and marks the extension as active; undefined for a plain
 * subscription.
 *
 * @throws {RequestMalformedError} if `Last-Event-ID` is not the number of an event
 */
export function getReplay(context: ServerCallContext): Replay | undefined {
  const cursor = lastEventId.get(context);
  const requested = context.requestedExtensions?.includes(replayExtension) ?? false;
  if (cursor === undefined && !requested) return undefined;
  context.addActivatedExtension(replayExtension);
  if (cursor === undefined) return { after: undefined };
  if (!/^\d{1,9}$/.test(cursor)) {
    throw new RequestMalformedError(
      `Last-Event-ID must be the number of an event, not "${cursor.slice(0, 40)}"`,
    );
  }
  return { after: Number(cursor) };
}

/** Adds the number of an event to its metadata: gRPC has no other place for it. */
export function withEventNumber(response: StreamResponse, event: number): StreamResponse {
  const { payload } = response;
  if (payload === undefined) return response;
  const metadata = { ...payload.value.metadata, [replayExtension]: { event } };
  return { payload: { ...payload, value: { ...payload.value, metadata } } as typeof payload };
}
