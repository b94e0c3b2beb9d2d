/** The operations of extensions, from the tables of their routes. */
import { toReadablePath } from '../../bindings/rest/routes.ts';
import { opsRoutes } from '../../extensions/ops/routes.ts';
import type { ExtensionRoute } from '../../extensions/routes.ts';
import { scheduleRoutes } from '../../extensions/schedules/routes.ts';
import { tasksRoutes } from '../../extensions/tasks/routes.ts';
import { webhookRoutes } from '../../extensions/webhooks/routes.ts';
import { examples } from './examples.ts';
import {
  eventStream,
  extensionFailures,
  jsonTypes,
  lastEventParameter,
  listPathParameters,
  noContent,
  ownerParameter,
  pathParameter,
  tenantParameter,
  toContent,
  toJsonBody,
  toQueryParameters,
  type Answer,
  type Operation,
  type Tag,
} from './operation.ts';

type Route = ExtensionRoute<never>;

const groups: readonly (readonly [Tag, readonly Route[]])[] = [
  ['webhooks', webhookRoutes],
  ['task views', tasksRoutes],
  ['schedules', scheduleRoutes],
  ['operator', opsRoutes],
];

/** Returns the operations by method and path, as `GET /stats` below the path of the HTTP+JSON binding. */
export function listExtensionOperations(base: string): Map<string, Operation> {
  return new Map(
    groups.flatMap(([tag, routes]) =>
      routes.map((route): [string, Operation] => {
        const path = base + toReadablePath(route.path);
        return [`${route.method} ${path}`, toOperation(tag, route, path)];
      }),
    ),
  );
}

function toOperation(tag: Tag, route: Route, path: string): Operation {
  const { operationId, summary, query = {}, requiredQuery, body, scope, method } = route;
  const needed = scope ?? (method === 'GET' ? 'read' : 'send');
  return {
    operationId,
    tags: [tag],
    summary,
    description: `Needs the scope ${needed}.`,
    parameters: [
      ...listPathParameters(path).map(pathParameter),
      ...toQueryParameters(query, requiredQuery),
      tenantParameter,
      ...(scope === 'operator' ? [] : [ownerParameter]),
      ...(route.events === undefined ? [] : [lastEventParameter]),
    ],
    ...(body !== undefined && {
      requestBody: toJsonBody(body, {
        required: body.required !== undefined,
        example: examples[operationId]?.request,
      }),
    }),
    responses: { ...toAnswers(route), ...extensionFailures },
  };
}

function toAnswers({ operationId, result, events }: Route): Record<string, Answer> {
  const example = examples[operationId]?.answer;
  const content = {
    ...(result !== undefined && toContent(jsonTypes, result, example)),
    ...(events !== undefined && toContent([eventStream], events)),
  };
  const description =
    events === undefined
      ? 'OK'
      : 'For clients that accept server-sent events, the schema is that of the JSON in the data of each event.';
  return {
    200: { description, content },
    // The timeline of a task that has ended.
    ...(result !== undefined && events !== undefined && { 204: noContent }),
  };
}
