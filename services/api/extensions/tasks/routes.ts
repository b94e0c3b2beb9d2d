/**
 * The tasks extension (docs/extensions/tasks.md), with which owners see what happens to their tasks, and act on several of
 * them. The JSON that it returns is described in shared/domain/views.ts.
 */
import type { FastifyInstance } from 'fastify';
import type { Db } from '#shared/db/client/pool.ts';
import type { Feed } from '#shared/db/events/feed.ts';
import type { Caller } from '#shared/db/tasks/visibility.ts';
import type { TimelineFollower } from '#shared/db/views/timeline-follower.ts';
import type { TaskStats } from '#shared/domain/views.ts';
import type { PageTokens } from '../../handler/page-token.ts';
import type { OpenStreams } from '../../limits/open-streams.ts';
import { registerExtensionRoutes, type ExtensionRoute, type OpenRoute } from '../routes.ts';
import { cancelTasks } from './cancel.ts';
import { sendFeed } from './feed.ts';
import { getStats, getUsage } from './figures.ts';
import { rerunTasks, type RerunParts } from './rerun.ts';
import { search, searchParameters } from './search.ts';
import { getTimeline } from './timeline.ts';

export interface TasksRoutesParts extends RerunParts {
  db: Db;
  feed: Feed;
  timelines: TimelineFollower;
  readStats: (caller: Caller) => Promise<TaskStats>;
  streams: OpenStreams;
  pageTokens: PageTokens;
}

const routes: readonly ExtensionRoute<TasksRoutesParts>[] = [
  { method: 'GET', path: '/tasks/:taskId/timeline', handle: getTimeline },
  { method: 'POST', path: '/tasks::cancel', handle: cancelTasks },
  { method: 'POST', path: '/tasks::rerun', handle: rerunTasks },
  { method: 'GET', path: '/feed', handle: sendFeed },
  { method: 'GET', path: '/search', query: searchParameters, handle: search },
  { method: 'GET', path: '/stats', handle: getStats },
  { method: 'GET', path: '/usage', query: ['since', 'until'], handle: getUsage },
];

export function registerTasksRoutes(app: FastifyInstance, parts: TasksRoutesParts): OpenRoute[] {
  return registerExtensionRoutes(app, parts, routes);
}
