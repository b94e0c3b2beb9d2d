/** The operations of A2A 0.3 over HTTP+JSON. */
import { A2A_VERSION_HEADER } from '@a2a-js/sdk';
import { restRoutes, toReadablePath, type RestRoute } from '../../../bindings/rest/routes.ts';
import { Config, Send } from '../../../bindings/rest/v03-requests.ts';
import type { StreamingName, UnaryName } from '../../../handler/operations.ts';
import { QueryRecorder } from '../a2a/query-recorder.ts';
import {
  a2aTypes,
  eventStream,
  jsonTypes,
  lastEventParameter,
  listPathParameters,
  noContent,
  pathParameter,
  tenantParameter,
  toContent,
  toJsonBody,
  toQueryParameters,
  type Operation,
} from '../operation.ts';
import { anyObject, component, named, type Schema } from '../schema.ts';
import { card, config, configList, failure, sent, streamed, task } from './answers.ts';
import { fromValibot } from './from-valibot.ts';

type Name = UnaryName | StreamingName;

const send = named('SendMessageRequest', fromValibot(Send));

interface Description {
  summary: string;
  /** Undefined: none. */
  answer?: Schema;
  request?: Schema;
}

const descriptions: Readonly<Partial<Record<Name, Description>>> = {
  SendMessage: { summary: 'Sends a message', request: send, answer: sent },
  SendStreamingMessage: {
    summary: 'Sends a message and streams its events',
    request: send,
    answer: streamed,
  },
  GetTask: { summary: 'Reads a task', answer: task },
  CancelTask: { summary: 'Cancels a task', request: anyObject, answer: task },
  SubscribeToTask: { summary: 'Streams the events of a task', request: anyObject, answer: streamed },
  CreateTaskPushNotificationConfig: {
    summary: 'Creates or replaces a webhook config of a task',
    request: fromValibot(Config),
    answer: config,
  },
  GetTaskPushNotificationConfig: { summary: 'Reads a webhook config', answer: config },
  ListTaskPushNotificationConfigs: { summary: 'Lists the webhook configs of a task', answer: configList },
  DeleteTaskPushNotificationConfig: { summary: 'Deletes a webhook config' },
  GetExtendedAgentCard: { summary: 'Reads the agent card for authenticated callers', answer: card },
};

const version = component('parameters', 'Version', {
  name: A2A_VERSION_HEADER,
  in: 'header',
  description: 'May be absent.',
  schema: { type: 'string', enum: ['0.3'] },
});

const failures = {
  default: component('responses', 'Error', {
    description: 'An error, in the form of JSON-RPC.',
    content: toContent(jsonTypes, failure),
  }),
};

/** Returns the operations by method and path, as `GET /tasks/{id}` below the path of the binding. */
export function listV03Operations(base: string): Map<string, Operation> {
  const routes = restRoutes.filter(({ version = '0.3' }) => version === '0.3');
  return new Map(
    routes.flatMap((route): [string, Operation][] => {
      const path = base + toReadablePath(route.path);
      const name = 'unary' in route ? route.unary : route.streaming;
      const description = descriptions[name];
      return description === undefined
        ? []
        : [[`${route.method} ${path}`, toOperation(route, path, name, description)]];
    }),
  );
}

function toOperation(route: RestRoute, path: string, name: Name, description: Description): Operation {
  const { summary, answer, request } = description;
  const isStream = 'streaming' in route;
  const isSecond = name === 'SubscribeToTask' && route.method === 'POST';
  return {
    operationId: isSecond ? `${name}ByPost` : name,
    tags: ['tasks'],
    summary,
    parameters: [
      version,
      ...listPathParameters(path).map(pathParameter),
      ...(route.method === 'POST' ? [] : listQuery(route)),
      tenantParameter,
      ...(isStream && route.method === 'GET' ? [lastEventParameter] : []),
    ],
    ...(route.method === 'POST' &&
      request !== undefined && {
        requestBody: toJsonBody(request, { types: a2aTypes, required: request !== anyObject }),
      }),
    responses: {
      ...(answer === undefined
        ? { 204: noContent }
        : { 200: { description: 'OK', content: toContent(isStream ? [eventStream] : jsonTypes, answer) } }),
      ...failures,
    },
  };
}

function listQuery(route: Extract<RestRoute, { method: 'GET' | 'DELETE' }>) {
  const recorder = new QueryRecorder();
  route.query(recorder);
  return toQueryParameters(recorder.parameters);
}
