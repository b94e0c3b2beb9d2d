/** `GET /feed`: every change of the caller's tasks, as server-sent events whose ids are positions to continue from. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { FastifyReply } from 'fastify';
import type { Feed, FeedEntry } from '#shared/db/events/feed.ts';
import { parsePosition } from '#shared/db/events/feed-page.ts';
import type { LogPosition } from '#shared/db/events/read.ts';
import type { FeedEvent } from '#shared/domain/views.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { jsonStatusFailure } from '../../bindings/rest/dialect.ts';
import { abortCall, getSignal, lastEventId } from '../../handler/call-state.ts';
import { toClientError, UnavailableError } from '../../handler/errors.ts';
import { toHttpStatus } from '../../http/failure.ts';
import { sendStream } from '../../http/sse.ts';
import type { OpenStreams } from '../../limits/open-streams.ts';
import type { ExtensionCall } from '../routes.ts';

interface FeedParts {
  feed: Feed;
  streams: OpenStreams;
  log: Logger;
}

export async function sendFeed(
  { feed, streams, log }: FeedParts,
  { caller, user, context, reply }: ExtensionCall,
): Promise<FastifyReply> {
  const from = await readStart(feed, lastEventId.get(context));
  const signal = getSignal(context);
  let last: FeedEntry | undefined;
  async function* events(): AsyncGenerator<FeedEvent | undefined, void, undefined> {
    const close = streams.open(user, () => abortCall(context));
    try {
      for await (const entry of feed.follow(caller, from, signal)) {
        last = entry;
        yield entry.event;
      }
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
  return sendStream(reply, events(), {
    id: () => last?.position,
    event: (event) => event,
    error: (error) => {
      const failure = toClientError(log, error);
      return jsonStatusFailure.toBody(failure, toHttpStatus(failure));
    },
    onStart: () => undefined,
  });
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
