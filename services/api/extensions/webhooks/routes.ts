/**
 * The extension for owners of webhooks, beside the HTTP+JSON binding and with its authentication (docs/webhooks.md):
 * look at deliveries, have them made again, send a test, change the secret. Every route exists with and without a
 * tenant before it, and answers in JSON; failures have the form of A2A 1.0. For receivers: the public keys.
 */
import { RequestMalformedError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { getWebhookConfig, listWebhookConfigs, maxWebhookConfigs } from '#shared/db/webhooks/configs.ts';
import {
  deliverAgain,
  deliverTest,
  deliveryStates,
  listDeliveries,
  setSigningSecret,
  type Again,
  type SendAgain,
} from '#shared/db/webhooks/deliveries.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { makeSigningSecret, signingSecretProblem } from '#shared/webhooks/secrets.ts';
import { jwksPath, publicJwks, type WebhookKey } from '#shared/crypto/signing-keys.ts';
import { httpCallContext } from '../../bindings/call-context.ts';
import { getCaller } from '../../handler/caller.ts';
import { checkId } from '../../handler/validate/message.ts';
import type { Params } from '../../handler/operations.ts';
import { sendFailure } from '../../http/failure.ts';
import { Query } from '../../http/query.ts';
import { jsonStatusFailure } from '../../bindings/rest/dialect.ts';
import { readBody, restPath } from '../../bindings/rest/rest.ts';
import { deliveryToJson, webhookToJson } from './json.ts';

export interface WebhookRoutesParts {
  db: Db;
  outbox: OutboxPublisher;
  encryptor: Encryptor;
  wakeupGraceSeconds: number;
  /** Their public halves are served to receivers. */
  signing: { readonly keys: readonly WebhookKey[] };
  log: Logger;
}

interface Call {
  caller: Caller;
  taskId: string;
  configId: string;
  /** What stands in the path after the config. */
  event: string;
  query: Query;
  body: Params;
}

type Answer = (parts: WebhookRoutesParts, call: Call) => Promise<unknown>;

const of = '/tasks/:taskId/webhooks';
const one = `${of}/:configId`;
const routes: readonly { method: 'GET' | 'POST'; path: string; answer: Answer }[] = [
  { method: 'GET', path: of, answer: list },
  { method: 'GET', path: one, answer: get },
  { method: 'GET', path: `${one}/deliveries`, answer: deliveries },
  { method: 'POST', path: `${one}/deliveries/:event/redeliver`, answer: redeliverOne },
  { method: 'POST', path: `${one}/redeliver`, answer: redeliverFailed },
  { method: 'POST', path: `${one}/test`, answer: sendTest },
  { method: 'POST', path: `${one}/secret`, answer: changeSecret },
];

export function registerWebhookRoutes(app: FastifyInstance, parts: WebhookRoutesParts): void {
  app.get(jwksPath, async (_request, reply) =>
    reply
      .header('content-type', 'application/jwk-set+json')
      .header('cache-control', 'public, max-age=300')
      .send(JSON.stringify(publicJwks(parts.signing.keys))),
  );
  for (const prefix of [restPath, `${restPath}/:tenant`]) {
    for (const { method, path, answer } of routes) {
      app.route({ method, url: prefix + path, handler: (request, reply) => run(answer, request, reply) });
    }
  }

  async function run(answer: Answer, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    void reply.header('content-type', 'application/json');
    try {
      const { tenant, taskId = '', configId = '', event = '' } = request.params as Record<string, string>;
      if (!isUuid(taskId)) throw new TaskNotFoundError(`task ${taskId} was not found`);
      checkId('the id of the webhook', configId, false);
      const query = new Query(request.query);
      const caller = getCaller(httpCallContext(request, reply, tenant ?? query.string('tenant')));
      const body = request.method === 'POST' ? readBody(request) : {};
      const result = await answer(parts, { caller, taskId, configId, event, query, body });
      return await reply.send(JSON.stringify(result));
    } catch (error) {
      return sendFailure(reply, parts.log, error, jsonStatusFailure);
    }
  }
}

async function list({ db }: WebhookRoutesParts, { caller, taskId }: Call): Promise<unknown> {
  const page = await listWebhookConfigs(db, caller, taskId, { size: maxWebhookConfigs });
  if (page === undefined) throw new TaskNotFoundError(`task ${taskId} was not found`);
  return { webhooks: page.configs.map(webhookToJson) };
}

async function get({ db }: WebhookRoutesParts, call: Call): Promise<unknown> {
  const config = await getWebhookConfig(db, call.caller, call.taskId, call.configId);
  if (config === undefined) throw noConfig(call);
  return webhookToJson(config);
}

async function deliveries({ db }: WebhookRoutesParts, call: Call): Promise<unknown> {
  const { query } = call;
  const size = query.integer('pageSize') ?? 50;
  if (size < 1 || size > 100) throw new RequestMalformedError(`pageSize must be from 1 to 100, not ${size}`);
  const token = query.string('pageToken') ?? '';
  if (!/^(-?\d{1,9})?$/.test(token)) {
    throw new RequestMalformedError('pageToken is not valid: pass nextPageToken of the page before');
  }
  const before = token === '' ? undefined : Number(token);
  const state = query.oneOf('state', deliveryStates);
  const page = await listDeliveries(db, call.caller, call, { size, before, state });
  if (page === undefined) throw noConfig(call);
  const nextPageToken = page.next === undefined ? '' : String(page.next);
  return { deliveries: page.deliveries.map((delivery) => deliveryToJson(call, delivery)), nextPageToken };
}

async function redeliverOne(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  const event = /^[1-9]\d{0,8}$/.test(call.event) ? Number(call.event) : 0;
  const count = event === 0 ? 0 : await again(parts, call, { event });
  if (count === 0)
    throw new TaskNotFoundError(`webhook ${call.configId} has no delivery of event ${call.event}`);
  return { count };
}

async function redeliverFailed(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  const { since } = call.body;
  const time = typeof since === 'string' ? Date.parse(since) : NaN;
  if (Number.isNaN(time)) {
    throw new RequestMalformedError('since must be a time, such as {"since": "2030-01-31T00:00:00Z"}');
  }
  return { count: await again(parts, call, { failedSince: new Date(time) }) };
}

async function again(parts: WebhookRoutesParts, call: Call, which: Again): Promise<number> {
  return rung(parts, call, await deliverAgain(parts.db, parts, call.caller, call, which));
}

async function sendTest(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  const count = rung(parts, call, await deliverTest(parts.db, parts, call.caller, call));
  if (count === 0) {
    throw new RequestMalformedError(
      `webhook ${call.configId} is disabled: have a delivery made again, or create the config anew`,
    );
  }
  return { count };
}

function rung({ outbox }: WebhookRoutesParts, call: Call, result: SendAgain): number {
  if (result.kind === 'no config') throw noConfig(call);
  outbox.publish(result.wakeups);
  return result.count;
}

const dayOfSeconds = 86_400;

async function changeSecret(parts: WebhookRoutesParts, call: Call): Promise<unknown> {
  const { secret = makeSigningSecret(), overlapSeconds = dayOfSeconds } = call.body;
  if (typeof secret !== 'string') throw new RequestMalformedError('secret must be a string');
  const problem = signingSecretProblem(secret);
  if (problem !== undefined) throw new RequestMalformedError(`secret is refused: ${problem}`);
  if (typeof overlapSeconds !== 'number' || !(overlapSeconds >= 0 && overlapSeconds <= 30 * dayOfSeconds)) {
    throw new RequestMalformedError(`overlapSeconds must be a number from 0 to ${30 * dayOfSeconds}`);
  }
  const { taskId, configId } = call;
  const encrypted = parts.encryptor.encrypt(secret, { taskId, configId, column: 'signing_secret' });
  const result = await setSigningSecret(parts.db, call.caller, call, { encrypted, overlapSeconds });
  if (result === 'no config') throw noConfig(call);
  // The one time that it is shown.
  return { secret };
}

function noConfig({ taskId, configId }: Call): Error {
  return new TaskNotFoundError(`task ${taskId} has no webhook ${configId}`);
}
