/**
 * From wakeups to turns. A wakeup is acknowledged once the database has answered who has the turn (invariant 2): what is
 * still to be done has its own wakeup. No more turns are claimed than can run; a wakeup that finds no room for a while is
 * given back, for a worker that has some.
 */
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Claim } from '#shared/db/turns/claim.ts';
import type { PublishInfo, TurnMessage } from '#shared/gcp/pubsub.ts';
import { MovingMean } from '#shared/domain/concurrency.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { HeldLease, LeaseHeartbeat } from '../turn/lease-heartbeat.ts';
import { runTurn, type RunParts } from '../turn/run.ts';
import { Semaphore } from './semaphore.ts';
import { inTurnSpan, type TurnSource } from '../turn/turn-span.ts';

const roomWaitMs = 2_000;

export interface ConsumeParts extends RunParts {
  claim: Claim;
  keeper: LeaseHeartbeat;
  outbox: OutboxPublisher;
  concurrency: number;
  pubsub: TurnSource;
  log: Logger;
}

export interface Consumer {
  /** A wakeup that was pulled: acknowledged once the claim is answered. */
  onTurn: (message: TurnMessage) => void;
  /**
   * A wakeup that was pushed: resolves when the turn has ended or was given back, with false where there is no room.
   * The turn is given back before its next step from `soonMs` on, and whatever it does at `nowMs`.
   */
  runPushed(taskId: string, sent: PublishInfo, bounds: { soonMs: number; nowMs: number }): Promise<boolean>;
  readonly running: number;
  /** How long turns took here lately, in seconds; undefined before the first. */
  readonly meanSeconds: number | undefined;
  /**
   * Claims nothing more. Turns are given back before their next step, or finish, for `finishMs`; then they are given
   * back as they are.
   */
  drain(finishMs: number): Promise<void>;
}

export function createConsumer(parts: ConsumeParts): Consumer {
  const { claim, keeper, outbox, log } = parts;
  const slots = new Semaphore(parts.concurrency);
  const mean = new MovingMean();
  const stopping = new AbortController();
  const checkpoint = stopping.signal;

  async function claimAndRun(
    taskId: string,
    sent: PublishInfo,
    bounds: { answered?: () => void; checkpoint: AbortSignal; nowMs?: number },
  ): Promise<void> {
    const claimedAt = performance.now();
    const result = await claim(taskId);
    bounds.answered?.();
    if (result.kind !== 'claimed') return;
    passFaultPoint('turn-claimed');
    const held = keeper.hold(result.lease, claimedAt);
    const timer = stopAt(held, bounds.nowMs === undefined ? undefined : claimedAt + bounds.nowMs);
    await inTurnSpan(result, sent, parts.pubsub, () => {
      outbox.publish(result.wakeups);
      return runTurn(parts, result, held, bounds.checkpoint);
    });
    clearTimeout(timer);
    mean.add((performance.now() - claimedAt) / 1000);
  }

  async function receive(message: TurnMessage): Promise<void> {
    if (checkpoint.aborted || !(await slots.take(roomWaitMs))) {
      message.nack();
      return;
    }
    try {
      await claimAndRun(message.taskId, message.sent, { answered: message.ack, checkpoint });
    } catch (error) {
      log.warn({ taskId: message.taskId, error: errorMessage(error) }, 'a turn could not be claimed');
      message.nack();
    } finally {
      slots.give();
    }
  }

  return {
    onTurn: (message) => void receive(message),
    runPushed: async (taskId, sent, { soonMs, nowMs }) => {
      if (checkpoint.aborted || !(await slots.take(0))) return false;
      try {
        const soon = AbortSignal.any([checkpoint, AbortSignal.timeout(soonMs)]);
        await claimAndRun(taskId, sent, { checkpoint: soon, nowMs });
        return true;
      } finally {
        slots.give();
      }
    },
    get running() {
      return slots.taken;
    },
    get meanSeconds() {
      return mean.value;
    },
    drain: async (finishMs) => {
      const reason = new Error('the worker is stopping');
      stopping.abort(reason);
      const timer = setTimeout(() => keeper.stopAll(reason), finishMs);
      await slots.idle();
      clearTimeout(timer);
    },
  };
}

function stopAt(held: HeldLease, at: number | undefined): NodeJS.Timeout | undefined {
  if (at === undefined) return undefined;
  return setTimeout(() => held.stop(new Error('the request of the push ends')), at - performance.now());
}
