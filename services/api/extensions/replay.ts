/**
 * The replay extension: a stream that goes on where an earlier one broke off (docs/extensions/replay.md).
 *
 * A client that names the extension, or the number of the last event that it has seen, gets every event its number in
 * the event's metadata, may subscribe to tasks at their end, and misses nothing and sees nothing twice.
 */
import type { StreamResponse } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';

export const replayExtension = 'https://longhaul.dev/ext/replay/v1';

const cursorKey = 'longhaul.cursor';

/** What a client sent as `Last-Event-ID`: a header over HTTP, metadata over gRPC. */
export function setCursor(context: ServerCallContext, cursor: string | undefined): void {
  if (cursor !== undefined) context.state.set(cursorKey, cursor);
}

export interface Replay {
  /** The number of the last event that the client has seen; undefined: none, it begins with the task as of now. */
  after: number | undefined;
}

/**
 * The replay that a subscription asks for, marked as active; undefined for a plain one.
 *
 * @throws {RequestMalformedError} for a cursor that is no number of an event
 */
export function getReplay(context: ServerCallContext): Replay | undefined {
  const cursor = context.state.get(cursorKey);
  const asked = context.requestedExtensions?.includes(replayExtension) ?? false;
  if (typeof cursor !== 'string' && !asked) return undefined;
  context.addActivatedExtension(replayExtension);
  if (typeof cursor !== 'string') return { after: undefined };
  if (!/^\d{1,9}$/.test(cursor)) {
    throw new RequestMalformedError(
      `Last-Event-ID must be the number of an event, not "${cursor.slice(0, 40)}"`,
    );
  }
  return { after: Number(cursor) };
}

/** Tells the number of an event in its metadata: gRPC has no other place for it. */
export function numbered(response: StreamResponse, event: number): StreamResponse {
  const { payload } = response;
  if (payload === undefined) return response;
  const metadata = { ...payload.value.metadata, [replayExtension]: { event } };
  return { payload: { ...payload, value: { ...payload.value, metadata } } as typeof payload };
}
