/**
 * The webhooks extension (docs/use/webhooks.md), with which owners read configs and deliveries, redeliver, send a
 * test and change the secret. The public signing keys are served to receivers.
 */
import { RequestMalformedError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { FastifyInstance } from 'fastify';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { getWebhookConfig, hasTask, maxWebhookConfigs } from '#shared/db/webhooks/configs.ts';
import {
  deliverTest,
  deliveryStates,
  listDeliveries,
  redeliver,
  setSigningSecret,
  type Redelivery,
} from '#shared/db/webhooks/deliveries.ts';
import { listOwnWebhooks } from '#shared/db/webhooks/health.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { createSigningSecret, signingSecretProblem } from '#shared/webhooks/secrets.ts';
import { webhookJwksPath, publicJwks, type WebhookKey } from '#shared/crypto/signing-keys.ts';
import { checkId } from '../../handler/validate/message.ts';
import type { Params } from '../../handler/operations.ts';
import type { Query } from '../../http/query.ts';
import { registerExtensionRoutes, type ExtensionRoute, type OpenRoute } from '../routes.ts';
import { readPageSize } from '../tasks/query.ts';
import { deliveryToJson, webhookToJson } from './json.ts';
import * as schemas from './schemas.ts';
import {
  listAllWebhooks,
  ownWebhookToJson,
  redeliverSelection,
  toRange,
  type AllWebhooksParts,
} from './all.ts';
import { checkSentBytes } from './sent-bytes.ts';

export interface WebhookRoutesParts extends AllWebhooksParts {
  encryptor: Encryptor;
  /** The public halves of the keys are served to receivers. */
  signing: { readonly keys: readonly WebhookKey[] };
  log: Logger;
}

interface Call {
  caller: Caller;
  taskId: string;
  configId: string;
  /** The path segment after `deliveries`. */
  event: string;
  query: Query;
  body: Params;
}

type Handle = (parts: WebhookRoutesParts, call: Call) => Promise<unknown>;

const listPath = '/tasks/:taskId/webhooks';
const configPath = `${listPath}/:configId`;
export const webhookRoutes: readonly ExtensionRoute<WebhookRoutesParts>[] = [
  {
    method: 'GET',
    path: '/webhooks',
    operationId: 'ListOwnWebhooks',
    summary: "Lists the webhooks of the caller's tasks, the worst health first",
    query: schemas.webhookQuery,
    result: schemas.ownWebhookPage,
    handle: listAllWebhooks,
  },
  {
    method: 'POST',
    path: '/webhooks::redeliver',
    operationId: 'RedeliverWebhooks',
    summary: 'Repeats failed deliveries of several webhooks',
    body: schemas.selectionBody,
    result: schemas.selectionResult,
    handle: redeliverSelection,
  },
  {
    method: 'GET',
    path: listPath,
    operationId: 'ListWebhooks',
    summary: 'Lists the webhooks of a task',
    result: schemas.webhookList,
    handle: forTask(listWebhooks),
  },
  {
    method: 'GET',
    path: configPath,
    operationId: 'GetWebhook',
    summary: 'Reads a webhook with its state',
    result: schemas.webhook,
    handle: forTask(getWebhook),
  },
  {
    method: 'GET',
    path: `${configPath}/deliveries`,
    operationId: 'ListDeliveries',
    summary: 'Lists the deliveries of a webhook and their attempts, the newest event first',
    query: schemas.deliveryQuery,
    result: schemas.deliveryPage,
    handle: forTask(listWebhookDeliveries),
  },
  {
    method: 'POST',
    path: `${configPath}/deliveries/:event/redeliver`,
    operationId: 'RedeliverEvent',
    summary: 'Sends an event again',
    result: schemas.deliveryCount,
    handle: forTask(redeliverEvent),
  },
  {
    method: 'POST',
    path: `${configPath}/redeliver`,
    operationId: 'RedeliverFailed',
    summary: 'Repeats the deliveries of a webhook that have failed since a time',
    body: schemas.redeliverBody,
    result: schemas.deliveryCount,
    handle: forTask(redeliverFailed),
  },
  {
    method: 'POST',
    path: `${configPath}/test`,
    operationId: 'TestWebhook',
    summary: 'Sends a test',
    result: schemas.deliveryCount,
    handle: forTask(sendTest),
  },
  {
    method: 'POST',
    path: `${configPath}/secret`,
    operationId: 'ChangeWebhookSecret',
    summary: 'Changes the secret that signs the webhooks, and returns it once',
    body: schemas.secretBody,
    result: schemas.secretResult,
    handle: forTask(changeSecret),
  },
];

export function registerWebhookRoutes(app: FastifyInstance, parts: WebhookRoutesParts): OpenRoute[] {
  app.get(webhookJwksPath, async (_request, reply) =>
    reply
      .header('content-type', 'application/jwk-set+json')
      .header('cache-control', 'public, max-age=300')
      .send(JSON.stringify(publicJwks(parts.signing.keys))),
  );
  return registerExtensionRoutes(app, parts, webhookRoutes);
}

function forTask(handle: Handle): ExtensionRoute<WebhookRoutesParts>['handle'] {
  return (parts, { caller, path, query, body }) => {
    const { taskId = '', configId = '', event = '' } = path;
    if (!isUuid(taskId)) throw new TaskNotFoundError(`task ${taskId} was not found`);
    checkId('the id of the webhook', configId, false);
    return handle(parts, { caller, taskId, configId, event, query, body });
  };
}

async function listWebhooks({ db }: WebhookRoutesParts, { caller, taskId }: Call): Promise<unknown> {
  const filter = { health: toRange(undefined, 'ok'), taskId };
  const { webhooks } = await listOwnWebhooks(db, caller, filter, { size: maxWebhookConfigs });
  if (webhooks.length === 0 && !(await hasTask(db, caller, taskId))) {
    throw new TaskNotFoundError(`task ${taskId} was not found`);
  }
  const ordered = webhooks.toSorted((first, second) => (first.id < second.id ? -1 : 1));
  return { webhooks: ordered.map(ownWebhookToJson) };
}

async function getWebhook({ db }: WebhookRoutesParts, call: Call): Promise<unknown> {
  const config = await getWebhookConfig(db, call.caller, call.taskId, call.configId);
  if (config === undefined) throw configNotFound(call);
  return webhookToJson(config);
}

async function listWebhookDeliveries({ db }: WebhookRoutesParts, call: Call): Promise<unknown> {
  const { query } = call;
  const size = readPageSize(query);
  const token = query.string('pageToken') ?? '';
  if (!/^(-?\d{1,9})?$/.test(token)) {
    throw new RequestMalformedError('pageToken is not valid: pass nextPageToken of the previous page');
  }
  const before = token === '' ? undefined : Number(token);
  const state = query.oneOf('state', deliveryStates);
  const page = await listDeliveries(db, call.caller, call, { size, before, state });
  if (page === undefined) throw configNotFound(call);
  const nextPageToken = page.next === undefined ? '' : String(page.next);
  return { deliveries: page.deliveries.map((delivery) => deliveryToJson(call, delivery)), nextPageToken };
}

async function redeliverEvent(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  await checkSentBytes(parts, call.caller);
  const event = /^[1-9]\d{0,8}$/.test(call.event) ? Number(call.event) : 0;
  const count =
    event === 0 ? 0 : publish(parts, call, await redeliver(parts.db, parts, call.caller, call, { event }));
  if (count === 0) {
    throw new TaskNotFoundError(`webhook ${call.configId} has no delivery of event ${call.event}`);
  }
  return { count };
}

async function redeliverFailed(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  const { since } = call.body;
  const time = typeof since === 'string' ? Date.parse(since) : NaN;
  if (Number.isNaN(time)) {
    throw new RequestMalformedError('since must be a time, such as {"since": "2030-01-31T00:00:00Z"}');
  }
  await checkSentBytes(parts, call.caller);
  const failedSince = new Date(time);
  return {
    count: publish(parts, call, await redeliver(parts.db, parts, call.caller, call, { failedSince })),
  };
}

async function sendTest(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  await checkSentBytes(parts, call.caller);
  const count = publish(parts, call, await deliverTest(parts.db, parts, call.caller, call));
  if (count === 0) {
    throw new RequestMalformedError(
      `webhook ${call.configId} is disabled: redeliver one of its events, or create the config again`,
    );
  }
  return { count };
}

/** Publishes the wake-ups of scheduled deliveries and returns their count. */
function publish({ outbox }: WebhookRoutesParts, call: Call, redelivery: Redelivery): number {
  if (redelivery.kind === 'config_not_found') throw configNotFound(call);
  outbox.publish(redelivery.wakeups);
  return redelivery.count;
}

const daySeconds = 86_400;

async function changeSecret(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  const { secret = createSigningSecret(), overlapSeconds = daySeconds } = call.body;
  if (typeof secret !== 'string') throw new RequestMalformedError('secret must be a string');
  const problem = signingSecretProblem(secret);
  if (problem !== undefined) throw new RequestMalformedError(`secret is not valid: ${problem}`);
  if (
    typeof overlapSeconds !== 'number' ||
    !(overlapSeconds >= 0 && overlapSeconds <= schemas.maxOverlapSeconds)
  ) {
    throw new RequestMalformedError(`overlapSeconds must be a number from 0 to ${schemas.maxOverlapSeconds}`);
  }
  const { taskId, configId } = call;
  const encrypted = parts.encryptor.encrypt(secret, { taskId, configId, column: 'signing_secret' });
  const result = await setSigningSecret(parts.db, call.caller, call, { encrypted, overlapSeconds });
  if (result === 'config_not_found') throw configNotFound(call);
  // The secret is never returned again.
  return { secret };
}

function configNotFound({ taskId, configId }: Call): Error {
  return new TaskNotFoundError(`task ${taskId} has no webhook ${configId}`);
}
