/** ListTasks (A2A section 3.1.4): the caller's tasks, newest status first, in pages. */
import { TaskState as WireState, type ListTasksRequest, type ListTasksResponse } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { stateFromWire, taskToWire } from '#shared/a2a/translate.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { listTasks } from '#shared/db/tasks/list.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { checkHistoryLength, checkId } from './validate/message.ts';
import type { PageTokens } from './page-token.ts';

const defaultPageSize = 50;
const maxPageSize = 100;
const firstTime = Date.parse('0001-01-01T00:00:00Z');
const endOfTime = Date.UTC(10_000, 0, 1);

export async function listCallersTasks(
  db: Db,
  tokens: PageTokens,
  caller: Caller,
  request: ListTasksRequest,
): Promise<ListTasksResponse> {
  const filter = filterOf(request);
  const size = request.pageSize ?? defaultPageSize;
  if (!Number.isInteger(size) || size < 1 || size > maxPageSize) {
    throw new RequestMalformedError(`pageSize must be a whole number from 1 to ${maxPageSize}, not ${size}`);
  }
  checkHistoryLength(request.historyLength);
  const query = JSON.stringify([caller, filter]);
  const after = request.pageToken === '' ? undefined : tokens.open(request.pageToken, query);
  const page = await listTasks(
    db,
    caller,
    filter,
    { size, after },
    // A list is for finding tasks: history comes when it is asked for (section 3.2.4 leaves the default to us).
    { historyLength: request.historyLength ?? 0, includeArtifacts: request.includeArtifacts ?? false },
  );
  return {
    tasks: page.tasks.map(({ task }) => taskToWire(task)),
    nextPageToken: page.next === undefined ? '' : tokens.encrypt(page.next, query),
    pageSize: size,
    totalSize: page.total,
  };
}

function filterOf(request: ListTasksRequest) {
  checkId('contextId', request.contextId, false);
  const state = stateFromWire(request.status);
  if (request.status !== WireState.TASK_STATE_UNSPECIFIED && state === undefined) {
    throw new RequestMalformedError('status is not a task state: use one such as TASK_STATE_WORKING');
  }
  const since = request.statusTimestampAfter;
  const statusSince = since === undefined || since === '' ? undefined : new Date(since);
  // Years of four digits: RFC 3339 has no others, and the database not all of them.
  if (
    statusSince !== undefined &&
    !(statusSince.getTime() >= firstTime && statusSince.getTime() < endOfTime)
  ) {
    throw new RequestMalformedError(
      `statusTimestampAfter must be an ISO 8601 time such as 2026-01-31T12:00:00Z, not "${since}"`,
    );
  }
  return { contextId: request.contextId === '' ? undefined : request.contextId, state, statusSince };
}
