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
import { claimFastDeliveries, recordFastAttempts } from '#shared/db/fast-deliveries.ts';
import { recordAttempts, type Attempt, type AttemptOutcome } from '#shared/db/delivery-attempts.ts';
import type { Sealer } from '#shared/db/seal.ts';
import type { WebhookConfig } from '#shared/runtime/config/dispatcher.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { messageOf, type Logger } from '#shared/runtime/log.ts';
import { isTest, readWebhookBody, type WebhookBody } from '#shared/webhooks/body.ts';
import { checkPublicUrl } from '#shared/net/public-url.ts';
import { openSecrets } from '#shared/webhooks/secrets.ts';
import type { Agent } from 'undici';
import { headersOf } from './headers.ts';
import type { SigningConfig } from './origin.ts';
import { Hosts } from './hosts.ts';
import { isUp, outcomeOf } from './outcome.ts';
import { post, type Posted } from './post.ts';

/** How long a bell that came too early is held. Clocks differ; more than that is the bell of something else. */
const longestWaitMs = 2_000;

/** Attempts at once for one config that asks for speed, and how long one call goes on with them. */
const fastAtOnce = 16;
const longestRunMs = 60_000;

export interface DeliverParts {
  db: Db;
  ringer: Ringer;
  sealer: Sealer;
  agent: Agent;
  allowHosts: readonly string[];
  webhook: WebhookConfig;
  signing: SigningConfig;
  bellGraceSeconds: number;
  log: Logger;
}

/** Resolves when the attempt is recorded, or there was nothing to do. */
export type Deliver = (key: ConfigKey) => Promise<void>;

/** @throws when the database cannot be reached: the caller may try again */
export function createDeliver(parts: DeliverParts): Deliver {
  const { db, ringer, webhook, log } = parts;
  const hosts = new Hosts(webhook.hostConcurrency);
  const leaseSeconds = webhook.timeoutMs / 1000 + webhook.leaseMarginSeconds;
  const claim = claimDeliveries(db, { leaseSeconds });
  const record = recordAttempts(db, { bellGraceSeconds: parts.bellGraceSeconds });
  const claimFast = claimFastDeliveries(db, { leaseSeconds });
  const recordFast = recordFastAttempts(db, { bellGraceSeconds: parts.bellGraceSeconds });

  async function attempt(delivery: ClaimedDelivery): Promise<void> {
    passFaultPoint('delivery-claimed');
    const entry = await hosts.enter(hostOf(delivery.config.url), delivery.failures);
    const startedAt = new Date();
    if (entry.kind === 'put off') {
      const outcome = { kind: 'put off' as const, delaySeconds: entry.delaySeconds };
      return settle({ delivery, startedAt, durationMs: 0, ...failed(null), outcome });
    }
    let up = false;
    try {
      const made = await make(delivery);
      up = isUp(made.posted);
      await settle({
        delivery,
        startedAt,
        durationMs: made.durationMs,
        ...made.posted,
        outcome: made.outcome,
      });
    } finally {
      entry.leave(up);
    }
  }

  async function make(
    delivery: ClaimedDelivery,
  ): Promise<{ posted: Posted; durationMs: number; outcome: AttemptOutcome }> {
    const { protocolVersion } = delivery.config;
    const body = await readWebhookBody(
      db,
      delivery.taskId,
      delivery.seq,
      webhook.maxBodyBytes,
      protocolVersion,
      delivery.mergedFrom,
    );
    const start = performance.now();
    const posted = body === undefined ? failed('the event is no longer stored') : await send(delivery, body);
    passFaultPoint('webhook-posted');
    const durationMs = Math.round(performance.now() - start);
    const judged = outcomeOf(posted, delivery.failures, webhook.scheduleSeconds, {
      chance: Math.random(),
      now: Date.now(),
    });
    const outcome: AttemptOutcome =
      judged.kind !== 'delivered' && isTest(delivery.seq) ? { kind: 'test failed' } : judged;
    return { posted, durationMs, outcome };
  }

  async function settle(made: Attempt & { delivery: ClaimedDelivery }): Promise<void> {
    const { durationMs, status, error, outcome } = made;
    const { taskId, configId, seq, attempt, config } = made.delivery;
    const bells = await (config.ordered ? record(made) : recordFast(made));
    passFaultPoint('attempt-recorded');
    const line = { taskId, configId, seq, attempt, durationMs, status, error, outcome: outcome.kind };
    if (bells === undefined) log.info(line, 'a webhook was attempted; its config was changed meanwhile');
    else if (outcome.kind === 'delivered') log.debug(line, 'a webhook was delivered');
    else if (outcome.kind === 'put off')
      log.debug(line, 'a webhook was put off: its host is busy or failing');
    else log.warn(line, 'a webhook failed');
    ringer.ring(bells ?? []);
  }

  /** As many at once as may be; each that ends makes room for the next. */
  async function attemptMany(key: ConfigKey): Promise<void> {
    const deadline = performance.now() + longestRunMs;
    const first = await claimFast({ ...key, limit: fastAtOnce });
    await Promise.all(
      first.map(async (delivery) => {
        let next: ClaimedDelivery | undefined = delivery;
        while (next !== undefined) {
          await attempt(next);
          // What is left then is rung for by the reconciler.
          [next] = performance.now() > deadline ? [] : await claimFast({ ...key, limit: 1 });
        }
      }),
    );
  }

  async function send(delivery: ClaimedDelivery, body: WebhookBody): Promise<Posted> {
    const checked = checkPublicUrl(delivery.config.url, parts.allowHosts);
    if ('problem' in checked) return failed(checked.problem);
    try {
      const secrets = openSecrets(parts.sealer, delivery.taskId, delivery.config);
      const { url } = checked;
      const { signing } = parts;
      const headers = await headersOf({ delivery, url, secrets, body, signing, now: Date.now() });
      return await post(parts.agent, webhook.timeoutMs, { url, headers, body: body.json });
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
      if (claimed.kind === 'fast') return attemptMany(key);
      if (claimed.kind === 'idle' || performance.now() + claimed.waitMs > deadline) return;
      await delay(claimed.waitMs);
    }
  };
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : '';
}

function failed(error: string | null): Posted {
  return { status: null, error, responseStart: null, retryAfter: undefined };
}
