/**
 * One attempt at the first webhook in the queue of a config (invariant 6).
 *
 *   claim ──▶ read the event ──▶ check the URL ──▶ POST ──▶ record ──▶ ring for the next
 *     │ due within a moment: wait for it
 *     └ nothing to do: done
 *
 * No transaction is open meanwhile (invariant 8): the lease keeps others away, and the fence refuses the record if the
 * config was changed, deleted or taken over.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Ringer } from '#shared/bells/ringer.ts';
import type { Db } from '#shared/db/database.ts';
import { claimDeliveries, type ClaimedDelivery, type ConfigKey } from '#shared/db/deliveries.ts';
import { recordAttempts } from '#shared/db/delivery-attempts.ts';
import type { Sealer } from '#shared/db/seal.ts';
import type { WebhookConfig } from '#shared/runtime/config.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { messageOf, type Logger } from '#shared/runtime/log.ts';
import { readWebhookBody, type WebhookBody } from '#shared/webhooks/body.ts';
import { checkWebhookUrl } from '#shared/webhooks/guard.ts';
import { openSecrets } from '#shared/webhooks/secrets.ts';
import type { Agent } from 'undici';
import { headersOf } from './headers.ts';
import { outcomeOf } from './outcome.ts';
import { post, type Posted } from './post.ts';

/** How long a bell that came too early is held. Clocks differ; more than that is the bell of something else. */
const longestWaitMs = 2_000;

export interface DeliverParts {
  db: Db;
  ringer: Ringer;
  sealer: Sealer;
  agent: Agent;
  allowHosts: readonly string[];
  webhook: WebhookConfig;
  bellGraceSeconds: number;
  log: Logger;
}

/** Resolves when the attempt is recorded, or there was nothing to do. */
export type Deliver = (key: ConfigKey) => Promise<void>;

/** @throws when the database cannot be reached: the caller may try again */
export function createDeliver(parts: DeliverParts): Deliver {
  const { db, ringer, webhook, log } = parts;
  const claim = claimDeliveries(db, { leaseSeconds: webhook.timeoutMs / 1000 + webhook.leaseMarginSeconds });
  const record = recordAttempts(db, { bellGraceSeconds: parts.bellGraceSeconds });

  async function attempt(delivery: ClaimedDelivery): Promise<void> {
    passFaultPoint('delivery-claimed');
    const { protocolVersion } = delivery.config;
    const body = await readWebhookBody(
      db,
      delivery.taskId,
      delivery.seq,
      webhook.maxBodyBytes,
      protocolVersion,
    );
    const startedAt = new Date();
    const start = performance.now();
    const posted = body === undefined ? failed('the event is no longer stored') : await send(delivery, body);
    passFaultPoint('webhook-posted');
    const durationMs = Math.round(performance.now() - start);
    const outcome = outcomeOf(posted, delivery.failures, webhook.scheduleSeconds, {
      chance: Math.random(),
      now: Date.now(),
    });
    const { taskId, configId, seq, attempt } = delivery;
    const { status, error, responseStart } = posted;
    const bells = await record({ delivery, startedAt, durationMs, status, error, responseStart, outcome });
    passFaultPoint('attempt-recorded');
    const line = { taskId, configId, seq, attempt, durationMs, status, error, outcome: outcome.kind };
    if (bells === undefined) log.info(line, 'a webhook was attempted; its config was changed meanwhile');
    else if (outcome.kind === 'delivered') log.debug(line, 'a webhook was delivered');
    else log.warn(line, 'a webhook failed');
    ringer.ring(bells ?? []);
  }

  async function send(delivery: ClaimedDelivery, body: WebhookBody): Promise<Posted> {
    const checked = checkWebhookUrl(delivery.config.url, parts.allowHosts);
    if ('problem' in checked) return failed(checked.problem);
    try {
      const secrets = openSecrets(parts.sealer, delivery.taskId, delivery.config);
      const headers = headersOf(delivery, secrets, body, Date.now());
      return await post(parts.agent, webhook.timeoutMs, { url: checked.url, headers, body: body.json });
    } catch (error) {
      log.error(
        { taskId: delivery.taskId, configId: delivery.configId, err: error },
        'a webhook could not be made',
      );
      return failed(`the webhook could not be made: ${messageOf(error)}`);
    }
  }

  return async (key) => {
    const deadline = performance.now() + longestWaitMs;
    for (;;) {
      const claimed = await claim(key);
      if (claimed.kind === 'claimed') return attempt(claimed.delivery);
      if (claimed.kind === 'idle' || performance.now() + claimed.waitMs > deadline) return;
      await delay(claimed.waitMs);
    }
  };
}

function failed(error: string): Posted {
  return { status: null, error, responseStart: null, retryAfter: undefined };
}
