/** JSON-RPC and MCP: one path each, whose requests name a method. */
import { requestTypes } from '../../handler/validate/request-types.ts';
import { toObject, toSchema } from './a2a/requests.ts';
import { examples } from './examples.ts';
import { eventStream, jsonTypes, noContent, toContent, toJsonBody, versionParameter } from './operation.ts';
import type { Operation } from './operation.ts';
import {
  anyObject,
  anyValue,
  component,
  describe,
  either,
  integer,
  named,
  object,
  oneOf,
  optional,
  text,
  type Schema,
} from './schema.ts';

const version = oneOf(['2.0']);
const requestId: Schema = describe(
  { type: ['string', 'integer', 'null'], maxLength: 256 },
  'Absent: a notification, which is not answered.',
);

const calls = Object.entries(requestTypes).map(([method, type]) => {
  const params = 'name' in type ? toSchema(type) : toObject(type);
  const needsParams = 'required' in type && type.required.length > 0;
  const schema = object({
    jsonrpc: version,
    id: optional(requestId),
    method: oneOf([method]),
    params: needsParams ? params : optional(params),
  });
  return named(`${method}Call`, schema);
});

const call = named('JsonRpcCall', {
  oneOf: calls,
  discriminator: {
    propertyName: 'method',
    mapping: Object.fromEntries(
      Object.keys(requestTypes).map((method, index) => [method, calls[index]?.$ref]),
    ),
  },
});

const answeredId: Schema = { type: ['string', 'integer', 'null'] };
const rpcError = named(
  'JsonRpcError',
  object({
    jsonrpc: version,
    id: answeredId,
    error: object({ code: integer, message: text, data: optional(anyValue) }),
  }),
);
const rpcAnswer = named(
  'JsonRpcAnswer',
  either(object({ jsonrpc: version, id: answeredId, result: anyValue }), rpcError),
);

const failures = {
  default: component('responses', 'JsonRpcError', {
    description: 'An error that HTTP has a status for, such as 401, 403, 415, 429 and 503.',
    content: toContent(jsonTypes, rpcError),
  }),
};

export const callJsonRpc: Operation = {
  operationId: 'CallJsonRpc',
  tags: ['other protocols'],
  summary: 'Calls an operation of A2A 1.0 by JSON-RPC',
  description: 'Errors have the status 200, except those that HTTP has a status for.',
  parameters: [versionParameter],
  requestBody: toJsonBody(call, { example: examples['CallJsonRpc']?.request }),
  responses: {
    200: {
      description: 'The answer, or server-sent events of which each is one.',
      content: {
        ...toContent(jsonTypes, rpcAnswer, examples['CallJsonRpc']?.answer),
        ...toContent([eventStream], rpcAnswer),
      },
    },
    204: noContent,
    ...failures,
  },
};

export const callMcp: Operation = {
  operationId: 'CallMcp',
  tags: ['other protocols'],
  summary: 'Sends a message of the Model Context Protocol (Streamable HTTP)',
  description: 'Use an MCP client: docs/use/mcp.md.',
  requestBody: toJsonBody(anyObject),
  responses: {
    200: {
      description: 'The answer, or server-sent events of which each is a message.',
      content: { ...toContent(jsonTypes, anyObject), ...toContent([eventStream], anyObject) },
    },
    202: { description: 'A notification was accepted.' },
    ...failures,
  },
};
