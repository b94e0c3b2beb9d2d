/** The routes of the HTTP+JSON binding, as bound in a2a.proto. Parameters are named after their fields. */
import { taskStates } from '#shared/domain/task.ts';
import type { Params, StreamingName, UnaryName } from '../../handler/operations.ts';
import type { Query } from '../../http/query.ts';

export type RestRoute = (
  | { method: 'POST' }
  | { method: 'GET' | 'DELETE'; query: (query: Query) => Params }
) & {
  /** `::` is an escaped colon; the id of a task ends before one. */
  path: string;
  /** Limits the route to one version. */
  version?: '0.3' | '1.0';
} & ({ unary: UnaryName } | { streaming: StreamingName });

/** Whether requests to the route may be large. */
export function sendsMessage(route: RestRoute): boolean {
  return 'unary' in route ? route.unary === 'SendMessage' : route.streaming === 'SendStreamingMessage';
}

const task = '/tasks/:id(^[^:/]+)';
const configs = '/tasks/:taskId/pushNotificationConfigs';
const noParams = (): Params => ({});

export const restRoutes: readonly RestRoute[] = [
  { method: 'POST', path: '/message::send', unary: 'SendMessage' },
  { method: 'POST', path: '/message::stream', streaming: 'SendStreamingMessage' },
  {
    method: 'GET',
    path: '/tasks',
    unary: 'ListTasks',
    version: '1.0',
    query: (query) => ({
      contextId: query.string('contextId'),
      status: query.oneOf('status', ['TASK_STATE_UNSPECIFIED', ...taskStates]),
      pageSize: query.integer('pageSize'),
      pageToken: query.string('pageToken'),
      historyLength: query.integer('historyLength'),
      statusTimestampAfter: query.string('statusTimestampAfter'),
      includeArtifacts: query.boolean('includeArtifacts'),
    }),
  },
  {
    method: 'GET',
    path: '/tasks/:id',
    unary: 'GetTask',
    query: (query) => ({ historyLength: query.integer('historyLength', 'history_length') }),
  },
  { method: 'POST', path: `${task}::cancel`, unary: 'CancelTask' },
  // The table in the specification has POST, a2a.proto has GET: both are served.
  { method: 'GET', path: `${task}::subscribe`, streaming: 'SubscribeToTask', query: noParams },
  { method: 'POST', path: `${task}::subscribe`, streaming: 'SubscribeToTask' },
  { method: 'POST', path: configs, unary: 'CreateTaskPushNotificationConfig' },
  {
    method: 'GET',
    path: configs,
    unary: 'ListTaskPushNotificationConfigs',
    query: (query) => ({ pageSize: query.integer('pageSize'), pageToken: query.string('pageToken') }),
  },
  { method: 'GET', path: `${configs}/:id`, unary: 'GetTaskPushNotificationConfig', query: noParams },
  { method: 'DELETE', path: `${configs}/:id`, unary: 'DeleteTaskPushNotificationConfig', query: noParams },
  {
    method: 'GET',
    path: '/extendedAgentCard',
    unary: 'GetExtendedAgentCard',
    query: noParams,
    version: '1.0',
  },
  { method: 'GET', path: '/card', unary: 'GetExtendedAgentCard', query: noParams, version: '0.3' },
];

/** Returns the methods and paths of the routes of a version, with the names of their parameters in braces. */
export function listRoutes(base: string, version: '0.3' | '1.0'): string[] {
  const routes = restRoutes.filter((route) => route.version === undefined || route.version === version);
  return routes.map(({ method, path }) => `${method} ${base}${toReadablePath(path)}`);
}

/** Returns the path of a route with the names of its parameters in braces. */
export function toReadablePath(path: string): string {
  return path
    .replace('(^[^:/]+)', '')
    .replaceAll(/\/:(\w+)/g, '/{$1}')
    .replace('::', ':');
}
