/**
 * Makes one attempt at a claimed delivery and records it:
 *
 *   check URL and bytes ──▶ acquire a slot ──▶ read the event, check bytes ──▶ POST ──▶ release the slot ──▶ record
 *          └ used up            └ none free         └ used up: deferred, which is recorded but does not count as an
 *                                                     attempt
 *
 * No transaction is open meanwhile (invariant 8). The lease keeps other processes away, and the fence refuses
 * the record if the config was changed or deleted, or the lease was lost.
 */
import { randomUUID } from 'node:crypto';
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { bringForward, type DeliveryKey } from '#shared/db/webhooks/attempts/forward.ts';
import type { Recorded, RecordAttempt } from '#shared/db/webhooks/attempts/record.ts';
import type { Attempt, DeferralReason } from '#shared/db/webhooks/attempts/settle.ts';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { DeliveryWakeup } from '#shared/domain/wakeup.ts';
import type { WebhookGuardConfig } from '#shared/runtime/config/webhook-guard.ts';
import type { WebhookConfig } from '#shared/runtime/config/dispatcher.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { activeTraceparent } from '#shared/runtime/spans.ts';
import { createBodyReader, isTest, type WebhookBody } from '#shared/webhooks/body.ts';
import { decryptSecrets } from '#shared/webhooks/secrets.ts';
import type { HourlyBytes } from './bytes/hourly-bytes.ts';
import { UnacceptedBytes } from './bytes/unaccepted-bytes.ts';
import { buildHeaders } from './headers.ts';
import { classifyAnswer, isAccepted, isUp } from './outcome.ts';
import { createPost, type Post, type PostAgents, type PostResult } from './post.ts';
import { createReceivers, type FoundReceiver, type Receiver } from './schedule/receiver.ts';
import { ReceiverReturns } from './schedule/returns.ts';
import type { ProcessSlot } from './schedule/attempt-slot.ts';
import type { AttemptScheduler } from './schedule/scheduler.ts';
import type { SigningConfig } from './signature.ts';
import { inWebhookSpan } from './span.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

export interface AttemptParts {
  db: Db;
  record: RecordAttempt;
  scheduler: AttemptScheduler;
  encryptor: Encryptor;
  agents: PostAgents;
  hourlyBytes: HourlyBytes;
  webhookGuard: WebhookGuardConfig;
  webhook: WebhookConfig;
  signing: SigningConfig;
  wakeupGraceSeconds: number;
  log: Logger;
}

/** The run of attempts that an attempt belongs to. */
export interface AttemptRun {
  /** Undefined if the owner has its share of this process: the attempt is deferred. */
  slot: ProcessSlot | undefined;
  /** Called after the POST; returns whether the caller will attempt the next delivery. */
  mayContinue: () => boolean;
  /** Names the span that caused the call. */
  traceparent: string | undefined;
}

/** @returns undefined if the attempt no longer counts */
export type MakeAttempt = (delivery: ClaimedDelivery, run: AttemptRun) => Promise<Recorded | undefined>;

/** A webhook that cannot be made counts as a failed attempt: otherwise it would be tried for ever. */
class UnmadeWebhookError extends Error {
  override readonly name = 'UnmadeWebhookError';
}

type AttemptResult = Omit<Attempt, 'delivery' | 'mayContinue' | 'nextClaimId'> &
  Pick<PostResult, 'detail' | 'retryAfter'>;

/** The size of bodies for receivers that refuse larger ones, or that have accepted none. */
const thinBytes = 4 * 1024;
/** Larger bodies are limited in number, because they are in memory until their receivers have answered. */
const largeBytes = 64 * 1024;
const maxLargeBodies = 100;
/** Delay of an attempt that waits for bodies in flight. */
const inFlightSeconds = 1;
/** Multiples of the largest body that hosts get in an hour before they accept one, and get thin ones. */
const unacceptedBodies = { perHost: 4, perOwner: 16 };

/** @throws if the database cannot be reached */
export function createAttempt(parts: AttemptParts): MakeAttempt {
  const { db, record, scheduler, hourlyBytes, webhook, log } = parts;
  const readWebhookBody = createBodyReader(db);
  const post = createPost(parts.agents, webhook.timeoutMs);
  const largeBodies = { inFlight: 0 };
  const returns = new ReceiverReturns();
  const findReceiver = createReceivers(parts.webhookGuard);
  const unacceptedBytes = new UnacceptedBytes({
    hostBytesPerHour: unacceptedBodies.perHost * webhook.maxBodyBytes,
    ownerBytesPerHour: unacceptedBodies.perOwner * webhook.maxBodyBytes,
  });

  async function make(
    delivery: ClaimedDelivery,
    found: FoundReceiver,
    processSlot: ProcessSlot | undefined,
  ): Promise<AttemptResult> {
    const { owner } = delivery.config;
    if (found.problem !== undefined)
      return toResult(delivery, new Date(databaseNow()), 0, noAnswer(found.problem));
    const { receiver } = found;
    const waitSeconds = await hourlyBytes.check(owner);
    if (waitSeconds > 0) return toDeferred({ delaySeconds: waitSeconds, reason: 'bytes_used_up' });
    const { failures } = delivery;
    const slot = await scheduler.acquire({ delivery, receiver, failures, processSlot });
    if (slot.kind === 'deferred') return toDeferred(slot);
    const startedAt = new Date(databaseNow());
    let up: boolean | undefined;
    let isLarge = false;
    try {
      const decide = () => (delivery.thin ? 'thin' : unacceptedBytes.getSize(receiver));
      let body = await readBody(delivery, decide() === 'thin');
      // Other attempts may have used up the bytes while this one waited for its slot and its body.
      const laterSeconds = await hourlyBytes.check(owner);
      if (laterSeconds > 0) return toDeferred({ delaySeconds: laterSeconds, reason: 'bytes_used_up' });
      if (body !== undefined && getSize(body) > thinBytes) {
        const size = decide();
        if (size === 'later') return toDeferred({ delaySeconds: inFlightSeconds, reason: 'host_busy' });
        if (size === 'thin') body = await readBody(delivery, true);
      }
      if (body !== undefined && getSize(body) > largeBytes) {
        if (largeBodies.inFlight >= maxLargeBodies)
          return toDeferred({ delaySeconds: inFlightSeconds, reason: 'owner_busy' });
        isLarge = true;
        largeBodies.inFlight += 1;
      }
      const start = performance.now();
      slot.sent();
      const posted =
        body === undefined
          ? noAnswer('the event is no longer stored')
          : await sendCounted(delivery, receiver, body);
      passFaultPoint('webhook-posted');
      up = isTest(delivery.seq) && !isUp(posted) ? undefined : isUp(posted);
      const durationMs = Math.round(performance.now() - start);
      const result = toResult(delivery, startedAt, durationMs, posted);
      if (body !== undefined && result.outcome.kind === 'delivered') {
        instruments.webhookAge.record((databaseNow() - body.event.createdAt.getTime()) / 1000);
      }
      return { ...result, isLast: body?.isLast ?? false };
    } catch (error) {
      if (!(error instanceof UnmadeWebhookError)) throw error;
      return toResult(delivery, startedAt, 0, noAnswer(error.message));
    } finally {
      if (isLarge) largeBodies.inFlight -= 1;
      slot.release(up);
    }
  }

  /** @throws {UnmadeWebhookError} if the event cannot be translated */
  async function readBody(delivery: ClaimedDelivery, thin: boolean): Promise<WebhookBody | undefined> {
    const maxBytes = thin ? Math.min(thinBytes, webhook.maxBodyBytes) : webhook.maxBodyBytes;
    try {
      const { url: audience, protocolVersion: version } = delivery.config;
      return await readWebhookBody(delivery, { maxBytes, version, audience, event: delivery.event });
    } catch (error) {
      if (isPassing(error)) throw error;
      throw toUnmade(delivery, error);
    }
  }

  function toUnmade({ taskId, configId }: ClaimedDelivery, error: unknown): UnmadeWebhookError {
    log.error({ taskId, configId, err: error }, 'webhook could not be created');
    return new UnmadeWebhookError(`the webhook could not be created: ${errorMessage(error)}`);
  }

  function toResult(
    delivery: ClaimedDelivery,
    startedAt: Date,
    durationMs: number,
    posted: PostResult,
  ): AttemptResult {
    const moment = { chance: Math.random(), now: databaseNow() };
    const answer = classifyAnswer(posted, delivery.failures, webhook.scheduleSeconds, moment);
    const outcome =
      isTest(delivery.seq) && answer.kind !== 'delivered' ? ({ kind: 'test_failed' } as const) : answer;
    return { ...posted, startedAt, durationMs, outcome };
  }

  async function sendCounted(
    delivery: ClaimedDelivery,
    receiver: Receiver,
    body: WebhookBody,
  ): Promise<PostResult> {
    const bytes = getSize(body);
    const ends: ((accepted: boolean) => void)[] = [];
    const onRepeat = (): void => {
      hourlyBytes.add(receiver.owner, bytes);
      ends.push(unacceptedBytes.send(receiver, bytes));
    };
    let written = 0;
    onRepeat();
    const posted = await send(delivery, receiver, body, { onRepeat, onWrite: () => (written += 1) });
    for (const end of ends) end(isAccepted(posted));
    // No byte has left for a receiver that could not be connected to.
    hourlyBytes.add(receiver.owner, (written - ends.length) * bytes);
    return posted;
  }

  async function send(
    delivery: ClaimedDelivery,
    receiver: Receiver,
    body: WebhookBody,
    events: Pick<Post, 'onRepeat' | 'onWrite'>,
  ): Promise<PostResult> {
    const { taskId, config } = delivery;
    const { signing } = parts;
    try {
      const secrets = decryptSecrets(parts.encryptor, taskId, config);
      const headers = buildHeaders({
        delivery,
        url: receiver.url,
        secrets,
        body,
        signing,
        now: databaseNow(),
      });
      const traceparent = activeTraceparent();
      if (traceparent !== null) headers['traceparent'] = traceparent;
      return await post({ receiver, headers, body: body.json, ...events });
    } catch (error) {
      return noAnswer(toUnmade(delivery, error).message);
    }
  }

  /** Brings deliveries forward if the attempt shows that their receiver is back. */
  async function wakeOthers(
    delivery: ClaimedDelivery,
    receiver: string,
    { status, retryAfter, outcome }: AttemptResult,
    startedAt: number,
  ): Promise<DeliveryWakeup[]> {
    const { taskId, configId, seq } = delivery;
    const ended = { receiver, delivery: { taskId, configId, seq }, startedAt, status, retryAfter, outcome };
    const bring = async (due: readonly DeliveryKey[], reason?: DeferralReason) => {
      if (due.length === 0) return [];
      return bringForward(db, parts.wakeupGraceSeconds, due, reason).catch((error: unknown) => {
        log.debug({ receiver, error: errorMessage(error) }, 'webhooks not brought forward');
        return [];
      });
    };
    const wakeups = await Promise.all([bring(returns.ended(ended)), bring(scheduler.takeDue(), 'host_busy')]);
    return wakeups.flat();
  }

  return async (delivery, { slot, mayContinue, traceparent }) => {
    passFaultPoint('delivery-claimed');
    const startedAt = performance.now();
    const found = findReceiver(delivery.config.url, delivery.config.owner);
    const receiver = found.problem === undefined ? found.receiver : undefined;
    const result = await inWebhookSpan(delivery, { receiver, traceparent }, () =>
      make(delivery, found, slot),
    );
    // After a failed attempt, the next delivery of an ordered config is not due yet.
    const nextMayBeDue = result.outcome.kind === 'delivered' || !delivery.config.ordered;
    const recorded = await record({
      ...result,
      delivery,
      mayContinue: nextMayBeDue && mayContinue(),
      nextClaimId: randomUUID(),
    });
    passFaultPoint('attempt-recorded');
    logAttempt(log, delivery, result, recorded !== undefined);
    if (recorded === undefined) return undefined;
    if (receiver === undefined) return recorded;
    const others = await wakeOthers(delivery, receiver.key, result, startedAt);
    return { ...recorded, wakeups: [...recorded.wakeups, ...others] };
  };
}

function logAttempt(log: Logger, delivery: ClaimedDelivery, result: AttemptResult, counts: boolean): void {
  const { taskId, configId, seq, attempt } = delivery;
  const { durationMs, status, error, detail, outcome } = result;
  const line = { taskId, configId, seq, attempt, durationMs, status, error, detail, outcome: outcome.kind };
  if (!counts) log.info(line, 'webhook attempt does not count: its config changed or its lease was lost');
  else if (outcome.kind === 'delivered') log.debug(line, 'webhook delivered');
  else if (outcome.kind === 'deferred') log.debug({ ...line, reason: outcome.reason }, 'webhook deferred');
  else log.warn(line, 'webhook attempt failed');
}

function getSize({ json }: WebhookBody): number {
  return Buffer.byteLength(json);
}

function toDeferred(deferral: { delaySeconds: number; reason: DeferralReason }): AttemptResult {
  instruments.webhooksDeferred.record(1, { 'longhaul.webhook.reason': deferral.reason });
  return {
    ...noAnswer(null),
    startedAt: new Date(databaseNow()),
    durationMs: 0,
    outcome: { ...deferral, kind: 'deferred' },
  };
}

function noAnswer(error: string | null): PostResult {
  return { status: null, error, responseStart: null, retryAfter: undefined };
}
