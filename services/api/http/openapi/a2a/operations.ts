/** The operations of A2A 1.0 over HTTP+JSON, from the routes and the tables of fields that serve them. */
import { restRoutes, toReadablePath, type RestRoute } from '../../../bindings/rest/routes.ts';
import type { StreamingName, UnaryName } from '../../../handler/operations.ts';
import { requestTypes } from '../../../handler/validate/request-types.ts';
import { examples } from '../examples.ts';
import {
  a2aFailures,
  a2aTypes,
  eventStream,
  extensionsParameter,
  ifNoneMatchParameter,
  lastEventParameter,
  listPathParameters,
  noContent,
  pathParameter,
  preferParameter,
  tenantParameter,
  toContent,
  toJsonBody,
  toQueryParameters,
  versionParameter,
  webhookOptionsParameter,
  type Answer,
  type Operation,
} from '../operation.ts';
import { object, text, type Schema } from '../schema.ts';
import { pushConfigList, sent, streamed, task, taskList } from './answers.ts';
import { agentCard } from './card.ts';
import { QueryRecorder } from './query-recorder.ts';
import { pushConfigSchema, toObject, toSchema } from './requests.ts';

type Name = UnaryName | StreamingName;

interface Description {
  summary: string;
  answer: Schema;
  /** Headers of the request in addition to those of all operations. */
  headers?: readonly Schema[];
}

const descriptions: Readonly<Record<Name, Description>> = {
  SendMessage: {
    summary: 'Sends a message: starts a task, or continues one',
    answer: sent,
    headers: [webhookOptionsParameter],
  },
  SendStreamingMessage: {
    summary: 'Sends a message and streams the events of its task',
    answer: streamed,
    headers: [webhookOptionsParameter],
  },
  GetTask: { summary: 'Reads a task', answer: task, headers: [ifNoneMatchParameter, preferParameter] },
  ListTasks: { summary: "Lists the caller's tasks, newest status first", answer: taskList },
  CancelTask: { summary: 'Cancels a task', answer: task },
  SubscribeToTask: {
    summary: 'Streams the events of a task',
    answer: streamed,
    headers: [lastEventParameter],
  },
  CreateTaskPushNotificationConfig: {
    summary: 'Creates or replaces a webhook config of a task',
    answer: pushConfigSchema,
    headers: [webhookOptionsParameter],
  },
  GetTaskPushNotificationConfig: {
    summary: 'Reads a webhook config, without its secrets',
    answer: pushConfigSchema,
  },
  ListTaskPushNotificationConfigs: {
    summary: 'Lists the webhook configs of a task, without their secrets',
    answer: pushConfigList,
  },
  DeleteTaskPushNotificationConfig: { summary: 'Deletes a webhook config', answer: object({}) },
  GetExtendedAgentCard: { summary: 'Reads the agent card for authenticated callers', answer: agentCard },
};

/** Returns the operations by method and path, as `GET /tasks/{id}` below the path of the binding. */
export function listA2aOperations(base: string): Map<string, Operation> {
  const routes = restRoutes.filter(({ version = '1.0' }) => version === '1.0');
  return new Map(
    routes.map((route) => {
      const path = base + toReadablePath(route.path);
      return [`${route.method} ${path}`, toOperation(route, path)];
    }),
  );
}

function toOperation(route: RestRoute, path: string): Operation {
  const name = 'unary' in route ? route.unary : route.streaming;
  const { summary, answer, headers = [] } = descriptions[name];
  const inPath = listPathParameters(path);
  // The specification and a2a.proto name different methods.
  const isSecond = name === 'SubscribeToTask' && route.method === 'POST';
  return {
    operationId: isSecond ? `${name}ByPost` : name,
    tags: ['tasks'],
    summary,
    parameters: [
      versionParameter,
      ...inPath.map(pathParameter),
      ...(route.method === 'POST' ? [] : listQuery(route)),
      tenantParameter,
      extensionsParameter,
      ...headers,
    ],
    ...(route.method === 'POST' && { requestBody: toRequest(name, inPath) }),
    responses: { ...toAnswers(route, name, answer), ...a2aFailures },
  };
}

function listQuery(route: Extract<RestRoute, { method: 'GET' | 'DELETE' }>) {
  const recorder = new QueryRecorder();
  route.query(recorder);
  return toQueryParameters(recorder.parameters);
}

function toRequest(name: Name, inPath: readonly string[]): NonNullable<Operation['requestBody']> {
  const type = requestTypes[name];
  const schema = inPath.length === 0 ? toSchema(type) : toObject(type, inPath);
  const required = (type.required ?? []).some((field) => !inPath.includes(field));
  return toJsonBody(schema, { types: a2aTypes, required, example: examples[name]?.request });
}

function toAnswers(route: RestRoute, name: Name, schema: Schema): Record<string, Answer> {
  if ('streaming' in route) {
    const description = 'Server-sent events. The schema is that of the JSON in the data of each event.';
    const ended = { description: 'The client has seen the last event of a task that has ended.' };
    return {
      200: { description, content: toContent([eventStream], schema) },
      ...(route.method === 'GET' && { 204: ended }),
    };
  }
  const found = { description: 'OK', content: toContent(a2aTypes, schema, examples[name]?.answer) };
  if (name !== 'GetTask') return { 200: found };
  return { 200: { ...found, headers: { ETag: { schema: text } } }, 304: noContent };
}
