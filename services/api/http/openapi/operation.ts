/** The parts of operations of the OpenAPI document, and the answers that many of them share. */
import { A2A_CONTENT_TYPE, A2A_VERSION_HEADER } from '@a2a-js/sdk';
import { anyObject, component, integer, list, named, object, text, type Schema } from './schema.ts';

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  description?: string;
  schema: Schema;
}

type Content = Readonly<Record<string, { schema: Schema; example?: unknown }>>;

export interface Answer {
  description: string;
  headers?: Readonly<Record<string, { description?: string; schema: Schema }>>;
  content?: Content;
}

/** An Operation Object (OpenAPI 3.1, section 4.8.10). */
export interface Operation {
  operationId: string;
  tags: readonly [Tag];
  summary: string;
  description?: string;
  parameters?: readonly (Parameter | Schema)[];
  requestBody?: { required: boolean; content: Content };
  responses: Readonly<Record<string, Answer | Schema>>;
  /** Empty: it needs no credentials. Undefined: those of the document. */
  security?: readonly [];
}

/** The groups of operations, and what they are. */
export const tags = {
  tasks: 'Operations of A2A 1.0 over HTTP+JSON',
  webhooks: 'Webhook configs, their deliveries and redelivery (docs/use/webhooks.md)',
  'task views': 'Timelines, search, figures, and acts on several tasks (docs/extensions/tasks.md)',
  schedules: 'Recurring tasks (docs/extensions/schedules.md)',
  operator: 'Work, workers and failures of all owners (docs/extensions/operator.md)',
  discovery: 'The agent card, keys and health',
  callbacks: 'Requests of other systems that tasks wait for',
  'other protocols': 'JSON-RPC and MCP, each at one path',
} as const;

export type Tag = keyof typeof tags;

/** JSON of A2A has a type of its own: clients may send and accept both (A2A section 11.1). */
export const a2aTypes = ['application/json', A2A_CONTENT_TYPE] as const;
export const jsonTypes = ['application/json'] as const;
export const eventStream = 'text/event-stream';

export function toContent(types: readonly string[], schema: Schema, example?: unknown): Content {
  const media = { schema, ...(example !== undefined && { example }) };
  return Object.fromEntries(types.map((type) => [type, media]));
}

export function toJsonBody(
  schema: Schema,
  options: { types?: readonly string[]; required?: boolean; example?: unknown } = {},
): NonNullable<Operation['requestBody']> {
  const { types = jsonTypes, required = true, example } = options;
  return { required, content: toContent(types, schema, example) };
}

/** google.rpc.Status as JSON (A2A section 11.6). */
const statusError = named(
  'Status',
  object({
    error: object({
      code: { ...integer, description: 'The HTTP status.' },
      status: { ...text, description: 'The name of the google.rpc.Code, such as NOT_FOUND.' },
      message: text,
      details: {
        ...list(anyObject),
        description: 'Such as google.rpc.ErrorInfo, whose reason names the error, and google.rpc.RetryInfo.',
      },
    }),
  }),
);

/** The errors of routes that belong to no binding. */
const plainError = named('PlainMessage', object({ error: text }));

const retryAfter = {
  'Retry-After': { description: 'Seconds, if they are known.', schema: integer },
};
const challenge = { 'WWW-Authenticate': { schema: text } };

/** The statuses that are listed. Others, such as 413 and 500, have the same form. */
const failureTexts: Readonly<Record<string, Pick<Answer, 'description' | 'headers'>>> = {
  400: { description: 'The request is not valid, or not possible now: the message says why.' },
  401: { description: 'Credentials are missing or wrong.', headers: challenge },
  403: { description: 'The credential lacks a scope.' },
  404: { description: 'Not found, or of another owner.' },
  429: { description: 'A limit is reached.', headers: retryAfter },
  503: { description: 'Unavailable: try again.', headers: retryAfter },
  default: { description: 'Any other error.' },
};

function toFailures(
  prefix: string,
  types: readonly string[],
  schema: Schema,
): Readonly<Record<string, Schema>> {
  return Object.fromEntries(
    Object.entries(failureTexts).map(([status, answer]) => [
      status,
      component('responses', `${prefix}${status === 'default' ? 'Error' : status}`, {
        ...answer,
        content: toContent(types, schema),
      }),
    ]),
  );
}

export const a2aFailures = toFailures('A2A', a2aTypes, statusError);
export const extensionFailures = toFailures('Extension', jsonTypes, statusError);
/** For all statuses: routes without authentication have fewer. */
export const plainFailure = component('responses', 'PlainError', {
  description: 'An error.',
  headers: retryAfter,
  content: toContent(jsonTypes, plainError),
});

/** The version that this document describes. */
export const versionParameter = component('parameters', 'Version', {
  name: A2A_VERSION_HEADER,
  in: 'header',
  required: true,
  description: 'Without it, the request is one of A2A 0.3 (A2A section 3.6.2).',
  schema: { type: 'string', enum: ['1.0'] },
});

function optionalParameter(
  place: 'query' | 'header',
  name: string,
  description: string,
  schema: Schema = text,
): Schema {
  const key = name.replaceAll(/(?:^|-)(\w)/g, (_all, letter: string) => letter.toUpperCase());
  return component('parameters', key, { name, in: place, description, schema });
}

export const tenantParameter = optionalParameter(
  'query',
  'tenant',
  'The tenant of the task. It may be the segment after /a2a/v1 of the path instead.',
);
export const ownerParameter = optionalParameter(
  'query',
  'owner',
  'The owner whose tasks the call is about, for operators.',
);
export const extensionsParameter = optionalParameter(
  'header',
  'A2A-Extensions',
  'The URIs of the extensions of A2A that the client uses, with commas between them.',
);
export const lastEventParameter = optionalParameter(
  'header',
  'Last-Event-ID',
  'Continues a stream after the event with this id.',
);
export const ifNoneMatchParameter = optionalParameter(
  'header',
  'If-None-Match',
  'The ETag of the answer that the client has: the answer is 304 if it is still current.',
);
export const preferParameter = optionalParameter(
  'header',
  'Prefer',
  'With If-None-Match: wait=30 delays the answer until the task changes, at most 60 seconds (RFC 7240).',
);
export const webhookOptionsParameter = optionalParameter(
  'header',
  'Longhaul-Webhook-Options',
  'Options of the webhook as JSON: events, order and secret.',
);

export const noContent: Answer = { description: 'No content.' };

export const pathParameter = (name: string): Parameter => ({
  name,
  in: 'path',
  required: true,
  schema: text,
});

export function toQueryParameters(
  query: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
): Parameter[] {
  return Object.entries(query).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    ...(required.includes(name) && { required: true }),
    ...(typeof description === 'string' && { description }),
    schema,
  }));
}

/** Returns the names of parameters in a readable path, in their order. */
export function listPathParameters(path: string): string[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
}
