/**
 * Claims and runs a turn for each wake-up:
 *
 *   wake-up ─▶ room? ──▶ claim ──▶ acknowledge ──▶ run the turn
 *               │ no, for 2 s        (pull mode: as soon as the claim is answered)
 *               └──▶ nack: another worker may have room
 *
 * A wake-up is acknowledged once the database has answered the claim (invariant 2): remaining work has its
 * own wake-up. The worker never claims more turns than it can run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Claim } from '#shared/db/turns/claim.ts';
import { MovingMean } from '#shared/domain/concurrency.ts';
import type { TurnMessage } from '#shared/gcp/pubsub.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { HeldLease, LeaseHeartbeat } from '../turn/lease-heartbeat.ts';
import { runTurn, type RunParts } from '../turn/run.ts';
import { inTurnSpan, type WakeupSource } from '../turn/spans.ts';
import { Semaphore } from './semaphore.ts';

/** How long a pulled wake-up waits for room before it is nacked. */
const roomWaitMs = 2_000;
const memoryCheckMs = 100;

export interface TurnConsumerParts extends RunParts {
  claimTurn: Claim;
  heartbeat: LeaseHeartbeat;
  outbox: OutboxPublisher;
  /** Maximum number of turns that run at the same time. */
  concurrency: number;
  /** Whether the process has memory for a further turn. */
  mayClaim: (running: number) => boolean;
  /** Names the topic and the subscription in spans. */
  source: WakeupSource;
  log: Logger;
}

/** Limits of a pushed turn, in milliseconds from its claim. */
export interface PushLimits {
  /** The turn is released before its next step. */
  releaseAfterMs: number;
  /** The turn is aborted, even within a step. */
  abortAfterMs: number;
}

export interface TurnConsumer {
  /** Handles a pulled wake-up, and acknowledges it once the claim is answered. */
  onTurn: (message: TurnMessage) => void;
  /**
   * Runs the turn of a pushed wake-up until it ends or is released. Returns false if the worker has no room.
   */
  runPushed(taskId: string, sent: TurnMessage['sent'], limits: PushLimits): Promise<boolean>;
  readonly running: number;
  /** Recent mean duration of turns in this process, in seconds; undefined before the first one ends. */
  readonly meanSeconds: number | undefined;
  /**
   * Stops claiming. Running turns end or are released before their next step for `finishMs`; the rest are
   * then aborted and released.
   */
  drain(finishMs: number): Promise<void>;
}

export function createTurnConsumer(parts: TurnConsumerParts): TurnConsumer {
  const { claimTurn, heartbeat, outbox, source, log } = parts;
  const semaphore = new Semaphore(parts.concurrency);
  const mean = new MovingMean();
  const stopping = new AbortController();

  /** Waits until there is memory and a permit for a further turn. Returns false if there is none in time. */
  async function takeRoom(waitMs: number): Promise<boolean> {
    const until = performance.now() + waitMs;
    while (!stopping.signal.aborted) {
      const leftMs = until - performance.now();
      if (parts.mayClaim(semaphore.inUse)) return semaphore.acquire(Math.max(0, leftMs));
      if (leftMs <= 0) return false;
      await sleep(Math.min(leftMs, memoryCheckMs));
    }
    return false;
  }

  async function claimAndRun(
    taskId: string,
    sent: TurnMessage['sent'],
    options: { onClaimAnswered?: () => void; releaseSignal: AbortSignal; abortAfterMs?: number },
  ): Promise<void> {
    const claimedAt = performance.now();
    const result = await claimTurn(taskId);
    options.onClaimAnswered?.();
    if (result.kind !== 'claimed') return;
    passFaultPoint('turn-claimed');
    const held = heartbeat.hold(result.lease, claimedAt);
    const timer = abortAt(
      held,
      options.abortAfterMs === undefined ? undefined : claimedAt + options.abortAfterMs,
    );
    await inTurnSpan(result, sent, source, () => {
      outbox.publish(result.wakeups);
      return runTurn(parts, result, held, options.releaseSignal);
    });
    clearTimeout(timer);
    mean.add((performance.now() - claimedAt) / 1000);
  }

  async function receive(message: TurnMessage): Promise<void> {
    if (!(await takeRoom(roomWaitMs))) {
      message.nack();
      return;
    }
    try {
      await claimAndRun(message.taskId, message.sent, {
        onClaimAnswered: message.ack,
        releaseSignal: stopping.signal,
      });
    } catch (error) {
      log.warn({ taskId: message.taskId, error: errorMessage(error) }, 'turn claim failed');
      message.nack();
    } finally {
      semaphore.release();
    }
  }

  return {
    onTurn: (message) => void receive(message),
    runPushed: async (taskId, sent, { releaseAfterMs, abortAfterMs }) => {
      if (!(await takeRoom(0))) return false;
      try {
        const releaseSignal = AbortSignal.any([stopping.signal, AbortSignal.timeout(releaseAfterMs)]);
        await claimAndRun(taskId, sent, { releaseSignal, abortAfterMs });
        return true;
      } finally {
        semaphore.release();
      }
    },
    get running() {
      return semaphore.inUse;
    },
    get meanSeconds() {
      return mean.value;
    },
    drain: async (finishMs) => {
      const reason = new Error('the worker is stopping');
      stopping.abort(reason);
      const timer = setTimeout(() => heartbeat.abortAll(reason), finishMs);
      await semaphore.idle();
      clearTimeout(timer);
    },
  };
}

/** @param at by `performance.now()` */
function abortAt(held: HeldLease, at: number | undefined): NodeJS.Timeout | undefined {
  if (at === undefined) return undefined;
  return setTimeout(
    () => held.abort(new Error('the push request is about to time out')),
    at - performance.now(),
  );
}
