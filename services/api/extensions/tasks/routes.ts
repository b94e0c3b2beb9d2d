/**
 * The tasks extension (docs/extensions/tasks.md), with which owners see what happens to their tasks. The JSON that it
 * returns is described in shared/domain/views.ts.
 */
import { TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { FastifyInstance } from 'fastify';
import type { Db } from '#shared/db/client/pool.ts';
import type { Feed } from '#shared/db/events/feed.ts';
import { readTimeline } from '#shared/db/tasks/timeline.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { Timeline } from '#shared/domain/views.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { PageTokens } from '../../handler/page-token.ts';
import type { OpenStreams } from '../../limits/open-streams.ts';
import { registerExtensionRoutes, type ExtensionCall, type ExtensionRoute } from '../routes.ts';
import { sendFeed } from './feed.ts';
import { getStats, getUsage } from './figures.ts';
import { search } from './search.ts';

export const tasksExtension = 'https://longhaul.dev/ext/tasks/v1';

export interface TasksRoutesParts {
  db: Db;
  feed: Feed;
  streams: OpenStreams;
  pageTokens: PageTokens;
  log: Logger;
}

const routes: readonly ExtensionRoute<TasksRoutesParts>[] = [
  { method: 'GET', path: '/tasks/:taskId/timeline', handle: getTimeline },
  { method: 'GET', path: '/feed', handle: sendFeed },
  { method: 'GET', path: '/search', handle: search },
  { method: 'GET', path: '/stats', handle: getStats },
  { method: 'GET', path: '/usage', handle: getUsage },
];

export function registerTasksRoutes(app: FastifyInstance, parts: TasksRoutesParts): void {
  registerExtensionRoutes(app, parts, routes);
}

async function getTimeline({ db }: TasksRoutesParts, { caller, path }: ExtensionCall): Promise<Timeline> {
  const { taskId = '' } = path;
  const timeline = isUuid(taskId) ? await readTimeline(db, caller, taskId) : undefined;
  if (timeline === undefined) throw new TaskNotFoundError(`task ${taskId} was not found`);
  return timeline;
}
