/**
 * Runs a turn for each wake-up that Pub/Sub has pushed, within its request:
 *
 *   wake-up ─▶ room for the owner? ──▶ claim ─▶ run ─▶ answer
 *      │         │ no
 *      │         └─▶ enqueue ─▶ answer
 *      └─▶ to a newer version (pass-on.ts) ─▶ answer
 *
 * Nothing runs outside of requests. A request that starts or ends a turn of an owner with queued turns therefore
 * publishes the wake-ups of the next ones, which any instance may get.
 */
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { wakeQueuedTurns } from '#shared/db/queue/wake.ts';
import type { PublishInfo, ReceivedTurn } from '#shared/gcp/pubsub.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { Intake } from './intake.ts';
import type { PassOn } from './pass-on.ts';

/** Largest number of queued turns that one request wakes. */
const maxWoken = 50;

/** Limits of a pushed turn, in milliseconds from its claim. */
export interface PushLimits {
  /** The turn is released before its next step. */
  releaseAfterMs: number;
  /** The turn is aborted, even within a step. */
  abortAfterMs: number;
}

export type PushedTurn = ReceivedTurn & { sent: PublishInfo };

/**
 * Runs the turn, or another one of its owner's queue, until it ends or is released.
 *
 * @returns false if the worker has no room because of other owners, or stops
 */
export type RunPushed = (turn: PushedTurn, limits: PushLimits) => Promise<boolean>;

export interface PushConsumerParts {
  db: Db;
  intake: Intake;
  outbox: OutboxPublisher;
  wakeupGraceSeconds: number;
  /** Undefined: the agent declares no version. */
  passOn: PassOn | undefined;
  log: Logger;
}

export function createPushConsumer(parts: PushConsumerParts): RunPushed {
  const { db, intake, outbox, log } = parts;
  const { slots, stopSignal } = intake;
  /** Owners that may have queued turns. */
  const queued = new Set<string>();

  /** Runs a turn, and wakes queued turns of its owner if there is more room, before and after. */
  async function run(
    { owner, limit }: { owner: string; limit: number },
    taskId: string,
    sent: PublishInfo,
    { releaseAfterMs, abortAfterMs }: PushLimits,
  ): Promise<void> {
    const releaseSignal = AbortSignal.any([stopSignal, AbortSignal.timeout(releaseAfterMs)]);
    await wakeMore(owner, limit);
    try {
      await intake.claimAndRun(taskId, sent, { releaseSignal, abortAfterMs });
    } finally {
      slots.release(owner);
      await wakeMore(owner, limit);
    }
  }

  async function wakeMore(owner: string, limit: number): Promise<void> {
    const count = Math.min(slots.roomFor(owner), limit === 0 ? maxWoken : 1);
    if (!queued.has(owner) || count === 0) return;
    try {
      const wakeups = await wakeQueuedTurns(db, { owner, count }, parts.wakeupGraceSeconds);
      if (wakeups.length < count) queued.delete(owner);
      await outbox.publishAll(wakeups);
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn'](
        { error: errorMessage(error) },
        'waking queued turns failed; the reconciler will wake them',
      );
    }
  }

  return async (turn, limits) => {
    const found = await intake.findOwner(turn);
    if (found === undefined) return true;
    const { owner, limit } = found;
    if (slots.roomFor(owner) === 0 && slots.heldBy(owner) === 0) return false;
    if ((await parts.passOn?.(turn.taskId)) === true) return true;
    if (stopSignal.aborted) return false;
    if (turn.fromQueue) queued.add(owner);
    const mayOvertake = limit === 0 && (turn.fromQueue || !queued.has(owner));
    if (mayOvertake && slots.take(owner, 1) === 1) {
      await run(found, turn.taskId, turn.sent, limits);
      return true;
    }
    await intake.enqueue(turn.taskId);
    queued.add(owner);
    if (slots.take(owner, 1) === 0) return true;
    const { turns } = await intake.dequeue(owner, 1).catch((error: unknown) => {
      slots.release(owner);
      throw error;
    });
    const [next] = turns;
    if (next === undefined) slots.release(owner);
    else await run(found, next.taskId, { ...turn.sent, at: next.queuedAt.getTime() }, limits);
    return true;
  };
}
