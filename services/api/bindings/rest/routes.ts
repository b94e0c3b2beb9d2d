/** The routes of the HTTP+JSON binding, as a2a.proto binds them. Parameters have the names of their fields. */
import { taskStates } from '#shared/domain/task.ts';
import type { Params, StreamingName, UnaryName } from '../../handler/operations.ts';
import type { Query } from '../../http/query.ts';

export type Route = ({ method: 'POST' } | { method: 'GET' | 'DELETE'; query: (query: Query) => Params }) & {
  /** `::` is a colon, and a task's id ends before one. */
  path: string;
  /** The only version that has it. */
  version?: '0.3' | '1.0';
} & ({ unary: UnaryName } | { streaming: StreamingName });

const task = '/tasks/:id(^[^:/]+)';
const configs = '/tasks/:taskId/pushNotificationConfigs';
const nothing = (): Params => ({});

export const routes: readonly Route[] = [
  { method: 'POST', path: '/message::send', unary: 'SendMessage' },
  { method: 'POST', path: '/message::stream', streaming: 'SendStreamingMessage' },
  {
    method: 'GET',
    path: '/tasks',
    unary: 'ListTasks',
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
  // The specification's table has POST here, its a2a.proto GET.
  { method: 'GET', path: `${task}::subscribe`, streaming: 'SubscribeToTask', query: nothing },
  { method: 'POST', path: `${task}::subscribe`, streaming: 'SubscribeToTask' },
  { method: 'POST', path: configs, unary: 'CreateTaskPushNotificationConfig' },
  {
    method: 'GET',
    path: configs,
    unary: 'ListTaskPushNotificationConfigs',
    query: (query) => ({ pageSize: query.integer('pageSize'), pageToken: query.string('pageToken') }),
  },
  { method: 'GET', path: `${configs}/:id`, unary: 'GetTaskPushNotificationConfig', query: nothing },
  { method: 'DELETE', path: `${configs}/:id`, unary: 'DeleteTaskPushNotificationConfig', query: nothing },
  {
    method: 'GET',
    path: '/extendedAgentCard',
    unary: 'GetExtendedAgentCard',
    query: nothing,
    version: '1.0',
  },
  { method: 'GET', path: '/card', unary: 'GetExtendedAgentCard', query: nothing, version: '0.3' },
];
