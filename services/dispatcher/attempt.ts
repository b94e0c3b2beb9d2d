/**
 * One attempt at a claimed delivery:
 *
 *   check the URL ──▶ a place at its host ──▶ read the event ──▶ POST ──▶ give the place back ──▶ record
 *                       └ none: put off, which is recorded and is no attempt
 *
 * No transaction is open meanwhile (invariant 8): the lease keeps others away, and the fence refuses the record if the
 * config was changed, deleted or taken over.
 */
import type { Agent } from 'undici';
import type { ClaimedDelivery } from '#shared/db/webhooks/claimed-delivery.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { Attempt, Recorded, RecordAttempt } from '#shared/db/webhooks/record.ts';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { WebhookGuardConfig } from '#shared/runtime/config/common.ts';
import type { WebhookConfig } from '#shared/runtime/config/dispatcher.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { activeTraceparent, linkActive } from '#shared/runtime/spans.ts';
import { isTest, readWebhookBody, type WebhookBody } from '#shared/webhooks/body.ts';
import { checkPublicUrl } from '#shared/net/public-url.ts';
import { decryptSecrets } from '#shared/webhooks/secrets.ts';
import { buildHeaders } from './headers.ts';
import { Hosts } from './hosts.ts';
import type { SigningConfig } from './signature.ts';
import { isUp, outcomeOf } from './outcome.ts';
import { post, type Posted } from './post.ts';
import { inWebhookSpan } from './span.ts';

export interface AttemptParts {
  db: Db;
  encryptor: Encryptor;
  agent: Agent;
  webhookGuard: WebhookGuardConfig;
  webhook: WebhookConfig;
  signing: SigningConfig;
  log: Logger;
}

/**
 * @param traceparent of the span that asked for it
 * @param goesOn asked once the receiver has taken the webhook: whether its caller goes on with the queue
 * @returns undefined where the attempt no longer counts
 */
export type MakeAttempt = (
  delivery: ClaimedDelivery,
  record: RecordAttempt,
  goesOn: () => boolean,
  traceparent: string | undefined,
) => Promise<Recorded | undefined>;

/** What was done, and what it means. */
type Made = Omit<Attempt, 'delivery' | 'goesOn'>;

/** @throws when the database cannot be reached */
export function createAttempt(parts: AttemptParts): MakeAttempt {
  const { db, webhook, log } = parts;
  const hosts = new Hosts(webhook.hostConcurrency);

  async function make(delivery: ClaimedDelivery): Promise<Made> {
    const { allowHosts, ownHosts } = parts.webhookGuard;
    const checked = checkPublicUrl(delivery.config.url, allowHosts, ownHosts);
    if ('problem' in checked) return judged(delivery, new Date(), 0, noAnswer(checked.problem));
    const entry = await hosts.enter(checked.url.host, delivery.failures);
    const startedAt = new Date();
    if (entry.kind === 'put off') {
      const outcome = { kind: 'put off' as const, delaySeconds: entry.delaySeconds };
      return { ...noAnswer(null), startedAt, durationMs: 0, outcome };
    }
    let up = false;
    try {
      const body = await readWebhookBody(
        db,
        delivery.taskId,
        delivery.seq,
        webhook.maxBodyBytes,
        delivery.config.protocolVersion,
        delivery.mergedFrom,
      );
      linkActive(body?.event.traceparent ?? null);
      const start = performance.now();
      const posted =
        body === undefined
          ? noAnswer('the event is no longer stored')
          : await send(delivery, checked.url, body);
      passFaultPoint('webhook-posted');
      up = isUp(posted);
      const durationMs = Math.round(performance.now() - start);
      const made = judged(delivery, startedAt, durationMs, posted);
      if (body !== undefined && made.outcome.kind === 'delivered') {
        instruments.webhookAge.record(body.event.age + durationMs / 1000);
      }
      return made;
    } finally {
      entry.leave(up);
    }
  }

  function judged(delivery: ClaimedDelivery, startedAt: Date, durationMs: number, posted: Posted): Made {
    const moment = { chance: Math.random(), now: Date.now() };
    const found = outcomeOf(posted, delivery.failures, webhook.scheduleSeconds, moment);
    const failedTest = isTest(delivery.seq) && found.kind !== 'delivered';
    return { ...posted, startedAt, durationMs, outcome: failedTest ? { kind: 'test failed' } : found };
  }

  async function send(delivery: ClaimedDelivery, url: URL, body: WebhookBody): Promise<Posted> {
    const { taskId, configId, config } = delivery;
    const { signing } = parts;
    try {
      const secrets = decryptSecrets(parts.encryptor, taskId, config);
      const headers = await buildHeaders({ delivery, url, secrets, body, signing, now: Date.now() });
      const traceparent = activeTraceparent();
      if (traceparent !== null) headers['traceparent'] = traceparent;
      return await post(parts.agent, webhook.timeoutMs, { url, headers, body: body.json });
    } catch (error) {
      log.error({ taskId, configId, err: error }, 'a webhook could not be made');
      return noAnswer(`the webhook could not be made: ${errorMessage(error)}`);
    }
  }

  return async (delivery, record, goesOn, traceparent) => {
    passFaultPoint('delivery-claimed');
    const made = await inWebhookSpan(delivery, traceparent, () => make(delivery));
    const recorded = await record({
      ...made,
      delivery,
      goesOn: made.outcome.kind === 'delivered' && goesOn(),
    });
    passFaultPoint('attempt-recorded');
    logAttempt(log, delivery, made, recorded !== undefined);
    return recorded;
  };
}

function logAttempt(log: Logger, delivery: ClaimedDelivery, made: Made, counts: boolean): void {
  const { taskId, configId, seq, attempt } = delivery;
  const { durationMs, status, error, outcome } = made;
  const line = { taskId, configId, seq, attempt, durationMs, status, error, outcome: outcome.kind };
  if (!counts) log.info(line, 'a webhook was attempted; its config was changed meanwhile');
  else if (outcome.kind === 'delivered') log.debug(line, 'a webhook was delivered');
  else if (outcome.kind === 'put off') log.debug(line, 'a webhook was put off: its host is busy or failing');
  else log.warn(line, 'a webhook failed');
}

function noAnswer(error: string | null): Posted {
  return { status: null, error, responseStart: null, retryAfter: undefined };
}
