/** The webhooks of all tasks of a caller: a list by health, and the redelivery of a selection. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { Db } from '#shared/db/client/pool.ts';
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { toConfigText } from '#shared/db/webhooks/attempts/claim.ts';
import type { ConfigKey } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { redeliver } from '#shared/db/webhooks/deliveries.ts';
import {
  countRedeliveries,
  listOwnWebhooks,
  webhookHealths,
  type OwnWebhook,
  type WebhookFilter,
  type WebhookHealth,
  type WebhookPlace,
} from '#shared/db/webhooks/health.ts';
import { TooManyWebhookRequestsError } from '#shared/db/webhooks/requests.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Params } from '../../handler/operations.ts';
import type { PageTokens } from '../../handler/page-token.ts';
import { checkId } from '../../handler/validate/message.ts';
import { maxItems, readFlag, readList, readTaskId } from '../body.ts';
import type { ExtensionCall } from '../routes.ts';
import { readPageSize } from '../tasks/query.ts';
import { attemptToJson, webhookToJson, type AttemptJson, type WebhookJson } from './json.ts';
import { checkSentBytes } from './sent-bytes.ts';

export interface AllWebhooksParts {
  db: Db;
  outbox: OutboxPublisher;
  getLimits: GetOwnerLimits;
  pageTokens: PageTokens;
  wakeupGraceSeconds: number;
  webhookRequestsPerMinute: number;
}

const maxHostLength = 300;

export async function listAllWebhooks(
  { db, pageTokens }: AllWebhooksParts,
  { caller, query }: ExtensionCall,
): Promise<object> {
  const health = query.oneOf('health', webhookHealths) as WebhookHealth | undefined;
  const filter = { health: toRange(health, 'ok'), host: readHost(query.string('host')) };
  const size = readPageSize(query);
  const listing = JSON.stringify(['webhooks', caller, filter]);
  const after = verifyPlace(pageTokens, query.string('pageToken') ?? '', listing);
  const { webhooks, next } = await listOwnWebhooks(db, caller, filter, { size, after });
  return { webhooks: webhooks.map(ownWebhookToJson), nextPageToken: signPlace(pageTokens, next, listing) };
}

export interface OwnWebhookJson extends WebhookJson {
  taskId: string;
  health: WebhookHealth;
  /** At its newest event. */
  lastAttempt?: AttemptJson & { event: number };
}

export function ownWebhookToJson(webhook: OwnWebhook): OwnWebhookJson {
  const { taskId, health, lastAttempt } = webhook;
  return {
    taskId,
    ...webhookToJson(webhook),
    health,
    ...(lastAttempt !== null && {
      lastAttempt: { event: lastAttempt.event, ...attemptToJson(lastAttempt) },
    }),
  };
}

export interface RedeliverySummary {
  dryRun: boolean;
  /** Deliveries that are sent again. */
  count: number;
  webhooks: RedeliveryResult[];
  nextPageToken: string;
  /** When the rest may be requested, if some were left for later. */
  retryAfterSeconds?: number;
}

interface Selection {
  since: Date;
  /** Undefined: those of the filter. */
  keys: ConfigKey[] | undefined;
  filter: WebhookFilter;
  pageToken: string;
  dryRun: boolean;
}

/**
 * Redelivers what failed of at most 100 webhooks. If the owner may not request more, the rest is left for later.
 *
 * @throws {TooManyWebhookRequestsError} if the owner may not request any
 */
export async function redeliverSelection(
  parts: AllWebhooksParts,
  { caller, body, addAuditDetails }: ExtensionCall,
): Promise<RedeliverySummary> {
  const { db, pageTokens } = parts;
  const selection = readSelection(body);
  const { since, filter, dryRun } = selection;
  const listing = JSON.stringify(['redeliver', caller, filter, since]);
  const after = verifyPlace(pageTokens, selection.pageToken, listing);
  if (!dryRun) await checkSentBytes(parts, caller);
  const page =
    selection.keys === undefined
      ? await listOwnWebhooks(db, caller, filter, { size: maxItems, after })
      : undefined;
  const keys = page?.webhooks.map(({ taskId, id }) => ({ taskId, configId: id })) ?? selection.keys ?? [];
  addAuditDetails({ taskIds: [...new Set(keys.map(({ taskId }) => taskId).filter(isUuid))], dryRun });
  const counts = await countRedeliveries(
    db,
    caller,
    keys.filter(({ taskId }) => isUuid(taskId)),
    since,
  );
  const { results, retryAfterSeconds } = await redeliverAll(parts, caller, { keys, counts, since, dryRun });
  const count = results.reduce((sum, result) => sum + (result.count ?? 0), 0);
  const done = results.findLastIndex(({ outcome }) => outcome !== 'later');
  const last = page?.webhooks[done];
  const next =
    retryAfterSeconds === undefined || last === undefined
      ? page?.next
      : { health: webhookHealths.indexOf(last.health), taskId: last.taskId, id: last.id };
  return {
    dryRun,
    count,
    webhooks: results,
    nextPageToken: signPlace(pageTokens, next, listing),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  };
}

export interface RedeliveryResult {
  taskId: string;
  id: string;
  outcome: 'redelivered' | 'nothing' | 'later' | 'not_found';
  /** Deliveries that are sent again. */
  count?: number;
}

async function redeliverAll(
  parts: AllWebhooksParts,
  caller: Caller,
  wanted: { keys: readonly ConfigKey[]; counts: ReadonlyMap<string, number>; since: Date; dryRun: boolean },
): Promise<{ results: RedeliveryResult[]; retryAfterSeconds: number | undefined }> {
  let retryAfterSeconds: number | undefined;
  const results: RedeliveryResult[] = [];
  for (const key of wanted.keys) {
    const result = { taskId: key.taskId, id: key.configId };
    const found = wanted.counts.get(toConfigText(key));
    if (found === undefined) results.push({ ...result, outcome: 'not_found' });
    else if (found === 0) results.push({ ...result, outcome: 'nothing' });
    else if (wanted.dryRun) results.push({ ...result, outcome: 'redelivered', count: found });
    else if (retryAfterSeconds !== undefined) results.push({ ...result, outcome: 'later' });
    else {
      try {
        const target = { failedSince: wanted.since };
        const redelivery = await redeliver(parts.db, parts, caller, key, target);
        if (redelivery.kind === 'config_not_found') results.push({ ...result, outcome: 'not_found' });
        else {
          parts.outbox.publish(redelivery.wakeups);
          results.push({ ...result, outcome: 'redelivered', count: redelivery.count });
        }
      } catch (error) {
        const isFirst = !results.some(({ outcome }) => outcome === 'redelivered');
        if (!(error instanceof TooManyWebhookRequestsError) || isFirst) throw error;
        ({ retryAfterSeconds } = error);
        results.push({ ...result, outcome: 'later' });
      }
    }
  }
  return { results, retryAfterSeconds };
}

/** @throws {RequestMalformedError} if a field is not valid */
function readSelection(body: Params): Selection {
  const { since, health, host, pageToken = '' } = body;
  const time = typeof since === 'string' ? Date.parse(since) : NaN;
  if (Number.isNaN(time)) {
    throw new RequestMalformedError('since must be a time, such as {"since": "2030-01-31T00:00:00Z"}');
  }
  if (health !== undefined && health !== 'failing' && health !== 'disabled') {
    throw new RequestMalformedError('health must be "failing" or "disabled"');
  }
  if (host !== undefined && typeof host !== 'string')
    throw new RequestMalformedError('host must be a string');
  if (typeof pageToken !== 'string') throw new RequestMalformedError('pageToken must be a string');
  const keys = body['webhooks'] === undefined ? undefined : readKeys(body);
  if (keys !== undefined && (health !== undefined || host !== undefined || pageToken !== '')) {
    throw new RequestMalformedError('webhooks must not be combined with health, host or pageToken');
  }
  return {
    since: new Date(time),
    keys,
    filter: { health: toRange(health, 'failing'), host: readHost(host) },
    pageToken,
    dryRun: readFlag(body, 'dryRun'),
  };
}

function readKeys(body: Params): ConfigKey[] {
  const keys = readList(body, 'webhooks').map((item): ConfigKey => {
    const { taskId, id, ...others } = (item ?? {}) as Record<string, unknown>;
    if (typeof id !== 'string' || Object.keys(others).length > 0) {
      throw new RequestMalformedError('each of webhooks must be {"taskId": "…", "id": "…"}');
    }
    checkId('the id of the webhook', id, true);
    return { taskId: readTaskId('webhooks', taskId), configId: id };
  });
  return [...new Map(keys.map((key) => [toConfigText(key), key])).values()];
}

/** @param best the best health that is selected if none is given */
export function toRange(
  health: WebhookHealth | undefined,
  best: WebhookHealth,
): [WebhookHealth, WebhookHealth] {
  return health === undefined ? [best, 'disabled'] : [health, health];
}

/** @throws {RequestMalformedError} if it is not a host, as in a URL */
function readHost(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const parsed =
    host.length <= maxHostLength && /^[^/?#@\\\s]+$/.test(host) ? URL.parse(`https://${host}`) : null;
  if (parsed !== null) return parsed.host;
  throw new RequestMalformedError(
    `host must be the host of a URL, such as example.com, not "${host.slice(0, 40)}"`,
  );
}

function signPlace(pageTokens: PageTokens, place: WebhookPlace | undefined, listing: string): string {
  return place === undefined ? '' : pageTokens.signPlace([place.health, place.taskId, place.id], listing);
}

function verifyPlace(pageTokens: PageTokens, token: string, listing: string): WebhookPlace | undefined {
  if (token === '') return undefined;
  const [health, taskId, id] = pageTokens.verifyPlace(token, listing) as [number, string, string];
  return { health, taskId, id };
}
