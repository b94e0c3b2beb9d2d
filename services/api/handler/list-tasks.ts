/** ListTasks (A2A section 3.1.4): pages of the caller's tasks, newest status first. */
import { TaskState as WireState, type ListTasksRequest, type ListTasksResponse } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { stateFromWire, taskToWire } from '#shared/a2a/translate.ts';
import type { ListTasks } from '#shared/db/tasks/list.ts';
import { getCaller } from './caller.ts';
import { startLargeAnswer } from '../limits/large-answer.ts';
import { checkHistoryLength, checkId } from './validate/message.ts';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';
import type { PageTokens } from './page-token.ts';

const defaultPageSize = 50;
const maxPageSize = 100;
/** RFC 3339 has four-digit years only, and PostgreSQL does not support all others. */
const minTime = Date.parse('0001-01-01T00:00:00Z');
const endTime = Date.UTC(10_000, 0, 1);

export async function listOwnTasks(
  list: ListTasks,
  { pageTokens, largeWork }: { pageTokens: PageTokens; largeWork: LargeWork },
  context: ServerCallContext,
  request: ListTasksRequest,
): Promise<ListTasksResponse> {
  const caller = getCaller(context);
  const filter = parseFilter(request);
  const size = request.pageSize ?? defaultPageSize;
  if (!Number.isInteger(size) || size < 1 || size > maxPageSize) {
    throw new RequestMalformedError(`pageSize must be a whole number from 1 to ${maxPageSize}, not ${size}`);
  }
  checkHistoryLength(request.historyLength);
  const query = JSON.stringify([caller, filter]);
  const after = request.pageToken === '' ? undefined : pageTokens.verify(request.pageToken, query);
  const page = await list({
    caller,
    filter,
    size,
    after,
    // History is included on request only: section 3.2.4 leaves the default to the agent.
    options: {
      historyLength: request.historyLength ?? 0,
      includeArtifacts: request.includeArtifacts ?? false,
    },
  });
  const bytes = page.tasks.reduce((sum, task) => sum + task.bytes, 0);
  if (bytes >= minLargeBytes) await startLargeAnswer(largeWork, context, caller.owner);
  return {
    tasks: page.tasks.map(({ task }) => taskToWire(task)),
    nextPageToken: page.next === undefined ? '' : pageTokens.sign(page.next, query),
    pageSize: size,
    totalSize: page.total,
  };
}

function parseFilter(request: ListTasksRequest) {
  checkId('contextId', request.contextId, false);
  const state = stateFromWire(request.status);
  if (request.status !== WireState.TASK_STATE_UNSPECIFIED && state === undefined) {
    throw new RequestMalformedError('status is not a task state: use a value such as TASK_STATE_WORKING');
  }
  const since = request.statusTimestampAfter;
  const statusSince = since === undefined || since === '' ? undefined : new Date(since);
  if (statusSince !== undefined && !(statusSince.getTime() >= minTime && statusSince.getTime() < endTime)) {
    throw new RequestMalformedError(
      `statusTimestampAfter must be an ISO 8601 time such as 2026-01-31T12:00:00Z, not "${since}"`,
    );
  }
  return { contextId: request.contextId === '' ? undefined : request.contextId, state, statusSince };
}
