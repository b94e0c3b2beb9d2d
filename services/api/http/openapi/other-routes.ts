/** Operations of single routes. A test lists the routes that have none, and why. */
import { AGENT_CARD_PATH } from '@a2a-js/sdk';
import { webhookJwksPath } from '#shared/crypto/signing-keys.ts';
import { agentNotificationsPath, callbacksPath, geminiWebhooksPath } from '#shared/domain/wait.ts';
import { cardJwksPath } from '../../card/signature.ts';
import { publicCard } from './a2a/card.ts';
import { callJsonRpc, callMcp } from './json-rpc.ts';
import {
  extensionFailures,
  ifNoneMatchParameter,
  jsonTypes,
  noContent,
  pathParameter,
  plainFailure,
  tenantParameter,
  toContent,
  toJsonBody,
  type Operation,
} from './operation.ts';
import { anyObject, anyValue, list, named, object, oneOf, text, type Schema } from './schema.ts';

type PublicOperation = Pick<Operation, 'operationId' | 'tags' | 'summary'> & Partial<Operation>;

/** An operation that needs no credentials. */
function openToAll(
  operation: PublicOperation,
  answer: Schema,
  types: readonly string[] = jsonTypes,
): Operation {
  const responses = {
    200: { description: 'OK', content: toContent(types, answer) },
    default: plainFailure,
    ...operation.responses,
  };
  return { ...operation, security: [], responses };
}

const keys = named('JsonWebKeys', object({ keys: list(anyObject) }));
const received = named('Received', object({ status: text }));
const revalidated = { 304: noContent };

function report(operationId: string, summary: string, hasToken = true): Operation {
  return openToAll(
    {
      operationId,
      tags: ['callbacks'],
      summary,
      ...(hasToken && { parameters: [pathParameter('token')] }),
      requestBody: toJsonBody(anyObject),
    },
    received,
  );
}

/** By method and path. */
export const otherOperations: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  [
    `GET /${AGENT_CARD_PATH}`,
    openToAll(
      {
        operationId: 'GetAgentCard',
        tags: ['discovery'],
        summary: 'Reads the agent card',
        parameters: [ifNoneMatchParameter],
        responses: revalidated,
      },
      publicCard,
    ),
  ],
  [
    `GET ${cardJwksPath}`,
    openToAll(
      {
        operationId: 'GetCardKeys',
        tags: ['discovery'],
        summary: 'Reads the keys that verify the signature of the card',
        responses: revalidated,
      },
      keys,
    ),
  ],
  [
    `GET ${webhookJwksPath}`,
    openToAll(
      {
        operationId: 'GetWebhookKeys',
        tags: ['discovery'],
        summary: 'Reads the keys that verify webhooks',
      },
      keys,
      ['application/jwk-set+json'],
    ),
  ],
  [
    'GET /.well-known/oauth-protected-resource',
    openToAll(
      {
        operationId: 'GetProtectedResourceMetadata',
        tags: ['discovery'],
        summary: 'Reads which authorization servers issue the tokens for MCP (RFC 9728)',
      },
      anyObject,
    ),
  ],
  [
    'GET /openapi.json',
    openToAll(
      {
        operationId: 'GetOpenApi',
        tags: ['discovery'],
        summary: 'Reads this document, or that of A2A 0.3',
        parameters: [
          {
            name: 'A2A-Version',
            in: 'query',
            description: 'Default: 1.0.',
            schema: oneOf(['1.0', '0.3']),
          },
          ifNoneMatchParameter,
        ],
        responses: revalidated,
      },
      anyObject,
    ),
  ],
  [
    'GET /health/live',
    openToAll(
      {
        operationId: 'GetLive',
        tags: ['discovery'],
        summary: 'Whether the process responds',
      },
      object({ status: oneOf(['live']) }),
    ),
  ],
  [
    'GET /health/ready',
    openToAll(
      {
        operationId: 'GetReady',
        tags: ['discovery'],
        summary: 'Whether the service can do its work',
        responses: {
          503: {
            description: 'It cannot.',
            content: toContent(jsonTypes, object({ status: oneOf(['not ready']), code: text })),
          },
        },
      },
      object({ status: oneOf(['ready']) }),
    ),
  ],
  [
    'GET /files/{taskId}/{hash}',
    {
      operationId: 'GetFile',
      tags: ['tasks'],
      summary: 'Reads a file of a task, by the URL in its artifacts',
      parameters: [pathParameter('taskId'), pathParameter('hash'), tenantParameter, ifNoneMatchParameter],
      responses: {
        200: {
          description: 'The content, in the media type of the file.',
          content: { '*/*': { schema: { type: 'string', contentMediaType: 'application/octet-stream' } } },
        },
        304: noContent,
        ...extensionFailures,
      },
    },
  ],
  [
    `POST ${callbacksPath}/{token}`,
    openToAll(
      {
        operationId: 'AnswerCallback',
        tags: ['callbacks'],
        summary: 'Answers a callback that a task waits for: the URL is the credential',
        parameters: [pathParameter('token')],
        requestBody: toJsonBody(anyValue),
      },
      received,
    ),
  ],
  [
    `POST ${agentNotificationsPath}/{token}`,
    report('NotifyOfAgentTask', 'Takes the notification of another agent about a task'),
  ],
  [
    `POST ${geminiWebhooksPath}/{token}`,
    report('ReportGeminiCall', "Takes Gemini's webhook about a call that names it"),
  ],
  [
    `POST ${geminiWebhooksPath}`,
    report('ReportGeminiEvent', "Takes Gemini's webhooks of the project", false),
  ],
  ['POST /a2a/jsonrpc', callJsonRpc],
  ['POST /mcp', callMcp],
]);
