/** `GET /feed`: every change of the caller's tasks, as server-sent events whose ids are positions to continue from. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { FastifyReply } from 'fastify';
import type { Feed } from '#shared/db/events/feed.ts';
import { formatPosition, parsePosition } from '#shared/db/events/feed-page.ts';
import type { FeedChunk } from '#shared/db/events/feed-reader.ts';
import type { LogPosition } from '#shared/db/events/read.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { jsonStatusFailure } from '../../bindings/rest/dialect.ts';
import { abortCall, getSignal, lastEventId } from '../../handler/call-state.ts';
import { toClientError, UnavailableError } from '../../handler/errors.ts';
import { toHttpStatus } from '../../http/failure.ts';
import { formatEvent, sendEncoded } from '../../http/sse.ts';
import type { OpenStreams } from '../../limits/open-streams.ts';
import type { ExtensionCall } from '../routes.ts';

interface FeedParts {
  feed: Feed;
  streams: OpenStreams;
  log: Logger;
}

export async function sendFeed(
  { feed, streams, log }: FeedParts,
  { caller, user, context, getReply }: ExtensionCall,
): Promise<FastifyReply> {
  const from = await readStart(feed, lastEventId.get(context));
  const signal = getSignal(context);
  async function* chunks(): AsyncGenerator<FeedChunk, void, undefined> {
    const close = streams.open(user, () => abortCall(context));
    try {
      yield* feed.follow(caller, from, signal);
      if (signal.aborted) user.credential?.check();
      else {
        throw new UnavailableError(
          'This server is shutting down. Connect again to continue on another server.',
        );
      }
    } finally {
      close();
    }
  }
  return sendEncoded(getReply(), chunks(), {
    encode,
    error: (error) => {
      const failure = toClientError(log, error);
      return jsonStatusFailure.toBody(failure, toHttpStatus(failure));
    },
    onStart: () => undefined,
  });
}

/** Chunks that all readers of a caller get, written once. */
const encoded = new WeakMap<FeedChunk, Buffer>();

function encode(chunk: FeedChunk): Buffer {
  const known = encoded.get(chunk);
  if (known !== undefined) return known;
  const from = formatPosition(chunk.from);
  const next = formatPosition(chunk.next);
  const last = chunk.events.length - 1;
  const events = chunk.events.map((data, index) => formatEvent({ id: index === last ? next : from, data }));
  const text = last === -1 ? formatEvent({ id: next, data: undefined }) : events.join('');
  const buffer = Buffer.from(text);
  encoded.set(chunk, buffer);
  return buffer;
}

/** @throws {RequestMalformedError} if the id is not that of an event of a feed */
async function readStart(feed: Feed, id: string | undefined): Promise<LogPosition | undefined> {
  if (id === undefined) return undefined;
  const position = parsePosition(id);
  if (position !== undefined && (await feed.isKnown(position))) return position;
  throw new RequestMalformedError(
    'Last-Event-ID is not the id of an event of this feed: send one that the feed has sent, or none',
  );
}
