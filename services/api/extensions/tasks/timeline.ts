/** `GET /tasks/{id}/timeline`: what a task has done, as JSON, or as server-sent events that follow its changes. */
import { RequestMalformedError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { FastifyReply } from 'fastify';
import type { Db } from '#shared/db/client/pool.ts';
import { readTimeline } from '#shared/db/tasks/timeline.ts';
import type { TimelineFollower } from '#shared/db/views/timeline-follower.ts';
import { getFinalTime, isFinal } from '#shared/db/views/timeline-parts.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { Timeline } from '#shared/domain/views.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { jsonStatusFailure } from '../../bindings/rest/dialect.ts';
import { abortCall, getSignal, lastEventId } from '../../handler/call-state.ts';
import { toClientError, UnavailableError } from '../../handler/errors.ts';
import { toHttpStatus } from '../../http/failure.ts';
import { sendStream } from '../../http/sse.ts';
import type { OpenStreams } from '../../limits/open-streams.ts';
import type { ExtensionCall } from '../routes.ts';

interface TimelineParts {
  db: Db;
  timelines: TimelineFollower;
  streams: OpenStreams;
  log: Logger;
}

export async function getTimeline(
  parts: TimelineParts,
  call: ExtensionCall,
): Promise<Timeline | FastifyReply> {
  const { taskId = '' } = call.path;
  if (!isUuid(taskId)) throw notFound(taskId);
  if (/\btext\/event-stream\b/.test(call.accept)) return followTimeline(parts, call, taskId);
  const timeline = await readTimeline(parts.db, call.caller, taskId);
  if (timeline === undefined) throw notFound(taskId);
  return timeline;
}

async function followTimeline(
  { db, timelines, streams, log }: TimelineParts,
  { caller, user, context, getReply }: ExtensionCall,
  taskId: string,
): Promise<FastifyReply> {
  const since = readSince(lastEventId.get(context));
  const timeline = since === undefined ? undefined : await readTimeline(db, caller, taskId);
  if (since !== undefined && timeline !== undefined && isFinal(timeline) && getFinalTime(timeline) <= since) {
    // Ends the reconnects of an EventSource (HTML standard, section 9.2.3).
    return getReply().code(204).send();
  }
  const signal = getSignal(context);
  let at = 0;
  async function* parts(): AsyncGenerator<Timeline, void, undefined> {
    const close = streams.open(user, () => abortCall(context));
    let isFound = false;
    try {
      for await (const part of timelines.follow(caller, taskId, since, signal)) {
        isFound = true;
        ({ at } = part);
        yield part.timeline;
      }
      if (timelines.isClosed) {
        throw new UnavailableError(
          'This server is shutting down. Connect again to continue on another server.',
        );
      }
      if (signal.aborted) user.credential?.check();
      else if (!isFound) throw notFound(taskId);
    } finally {
      close();
    }
  }
  return sendStream(getReply(), parts(), {
    id: () => at,
    event: (part) => part,
    error: (error) => {
      const failure = toClientError(log, error);
      return jsonStatusFailure.toBody(failure, toHttpStatus(failure));
    },
    onStart: () => undefined,
  });
}

/** @throws {RequestMalformedError} if the id is not that of a part */
function readSince(id: string | undefined): number | undefined {
  if (id === undefined) return undefined;
  if (/^\d{13}$/.test(id) && Number(id) <= databaseNow() + 60_000) return Number(id);
  throw new RequestMalformedError(
    'Last-Event-ID is not the id of a part of this timeline: send one that it has sent, or none',
  );
}

function notFound(taskId: string): Error {
  return new TaskNotFoundError(`task ${taskId} was not found`);
}
