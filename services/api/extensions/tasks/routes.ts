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
import { dayParameters } from './query.ts';
import * as schemas from './schemas.ts';
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

export const tasksRoutes: readonly ExtensionRoute<TasksRoutesParts>[] = [
  {
    method: 'GET',
    path: '/tasks/:taskId/timeline',
    operationId: 'GetTimeline',
    summary: 'Shows the turns, attempts, steps, events and deliveries of a task, once or as it changes',
    result: schemas.timeline,
    events: schemas.timeline,
    handle: getTimeline,
  },
  {
    method: 'POST',
    path: '/tasks::cancel',
    operationId: 'CancelTasks',
    summary: 'Cancels several tasks',
    body: schemas.cancelBody,
    result: schemas.cancelSummary,
    handle: cancelTasks,
  },
  {
    method: 'POST',
    path: '/tasks::rerun',
    operationId: 'RerunTasks',
    summary: 'Starts ended tasks again as new ones, or runs a turn again from a step',
    body: schemas.rerunBody,
    result: schemas.rerunSummary,
    handle: rerunTasks,
  },
  {
    method: 'GET',
    path: '/feed',
    operationId: 'FollowFeed',
    summary: "Streams every change of the caller's tasks",
    events: schemas.feedEvent,
    handle: sendFeed,
  },
  {
    method: 'GET',
    path: '/search',
    operationId: 'SearchTasks',
    summary: "Finds the caller's tasks that meet several conditions, newest status first",
    query: searchParameters,
    result: schemas.searchPage,
    handle: search,
  },
  {
    method: 'GET',
    path: '/stats',
    operationId: 'GetStats',
    summary: "Counts the caller's tasks",
    result: schemas.stats,
    handle: getStats,
  },
  {
    method: 'GET',
    path: '/usage',
    operationId: 'GetUsage',
    summary: "Sums the caller's tokens and cost by day and model",
    query: dayParameters,
    result: schemas.usageReport,
    handle: getUsage,
  },
];

export function registerTasksRoutes(app: FastifyInstance, parts: TasksRoutesParts): OpenRoute[] {
  return registerExtensionRoutes(app, parts, tasksRoutes);
}
