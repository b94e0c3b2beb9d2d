/**
 * The common part of both ways of intake (pull and push): looks up the owner of a turn and its limit, claims and
 * runs turns, and drains.
 *
 * A wake-up is acknowledged once the database has answered its claim, or has stored it in a queue (invariant 2): the
 * remaining work has its own wake-up. The worker never claims more turns than it can run.
 */
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import { dequeueTurns, type Dequeued } from '#shared/db/queue/dequeue.ts';
import { createEnqueue, type EnqueueTurn } from '#shared/db/queue/enqueue.ts';
import { createLeaveTurn, type LeaveTurn } from '#shared/db/queue/versions.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { Claim } from '#shared/db/turns/claim.ts';
import { holdersFirstMs } from '#shared/db/turns/take-over.ts';
import { MovingMean } from '#shared/domain/concurrency.ts';
import type { PublishInfo, ReceivedTurn } from '#shared/gcp/pubsub.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { HeldLease, LeaseHeartbeat } from '../turn/lease-heartbeat.ts';
import { runTurn, type RunParts } from '../turn/run.ts';
import { inTurnSpan, type WakeupSource } from '../turn/spans.ts';
import { FairSlots } from './fair-slots.ts';

export interface IntakeParts extends RunParts {
  db: Db;
  claimTurn: Claim;
  /** When the database last failed, by `performance.now()`. */
  databaseFailedAt: () => number;
  heartbeat: LeaseHeartbeat;
  getOwnerLimits: GetOwnerLimits;
  wakeupGraceSeconds: number;
  /** Maximum number of turns that run at the same time. */
  concurrency: number;
  /** The share of them that one owner can get. */
  ownerShare: number;
  /** Whether the process has memory for a further turn. */
  mayClaim: (running: number) => boolean;
  /** Names the topic and the subscription in spans. */
  source: WakeupSource;
  /** When a turn that was left to workers of its version is woken, if none has taken it. */
  leftWakeSeconds: number;
}

interface RunOptions {
  onClaimAnswered?: () => void;
  /** Releases the turn before its next step. Default: when the worker stops. */
  releaseSignal?: AbortSignal;
  /** Milliseconds from the claim after which the turn is aborted, even within a step. */
  abortAfterMs?: number;
}

export interface Intake {
  readonly slots: FairSlots;
  /** Aborts when the worker stops. */
  readonly stopSignal: AbortSignal;
  /** Recent mean duration of turns in this process, in seconds; undefined before the first one ends. */
  readonly meanSeconds: number | undefined;
  /** Returns the owner of a turn and its limit of concurrent turns (0: none); undefined if the task was removed. */
  findOwner(
    turn: Pick<ReceivedTurn, 'taskId' | 'owner'>,
  ): Promise<{ owner: string; limit: number } | undefined>;
  claimAndRun(taskId: string, sent: PublishInfo, options?: RunOptions): Promise<void>;
  enqueue: EnqueueTurn;
  /** Leaves a turn to the workers of its version of the agent. */
  leave: LeaveTurn;
  /** Takes up to `count` turns from the queue of an owner. */
  dequeue: (owner: string, count: number) => Promise<Dequeued>;
  /**
   * Stops claiming. Running turns end or are released before their next step for `finishMs`; the rest are
   * then aborted and released. May be called again with less time.
   *
   * @param finishMs undefined: no turn is aborted
   */
  drain(finishMs?: number): Promise<void>;
}

export function createIntake(parts: IntakeParts): Intake {
  const { db, claimTurn, heartbeat, outbox, source, wakeupGraceSeconds } = parts;
  const slots = new FairSlots(parts.concurrency, parts.ownerShare, parts.mayClaim);
  const leave = createLeaveTurn(db, { wakeSeconds: parts.leftWakeSeconds });
  const mean = new MovingMean();
  const stopping = new AbortController();

  return {
    slots,
    stopSignal: stopping.signal,
    get meanSeconds() {
      return mean.value;
    },
    findOwner: async ({ taskId, owner: named }) => {
      const owner = named ?? (await readOwner(db, taskId));
      if (owner === undefined) return undefined;
      const { concurrentTurns: limit } = await parts.getOwnerLimits(owner);
      return { owner, limit };
    },
    claimAndRun: async (taskId, sent, options = {}) => {
      const { releaseSignal = stopping.signal, abortAfterMs } = options;
      const claimedAt = performance.now();
      // A lease may have run out while this process was paused: its turn still runs here.
      const result = heartbeat.holds(taskId) ? ({ kind: 'leased' } as const) : await claimTurn(taskId);
      if (result.kind === 'other_version') await leave(taskId);
      options.onClaimAnswered?.();
      if (result.kind !== 'claimed') return;
      passFaultPoint('turn-claimed');
      const held = heartbeat.hold(result.lease, claimedAt);
      const timer = abortAt(held, abortAfterMs === undefined ? undefined : claimedAt + abortAfterMs);
      await inTurnSpan(result, sent, source, () => {
        outbox.publish(result.wakeups);
        return runTurn(parts, result, held, releaseSignal);
      });
      clearTimeout(timer);
      mean.add((performance.now() - claimedAt) / 1000);
    },
    enqueue: createEnqueue(db, { wakeupGraceSeconds }),
    leave,
    dequeue: async (owner, count) => {
      const { concurrentTurns: limit } = await parts.getOwnerLimits(owner);
      // After an outage, turns count as ended until their holders have extended their leases.
      const holdersFirst = limit > 0 && performance.now() - parts.databaseFailedAt() < holdersFirstMs;
      if (holdersFirst || stopping.signal.aborted) return { turns: [], mayHaveMore: false };
      return dequeueTurns(db, { owner, count, limit, wakeupGraceSeconds });
    },
    drain: async (finishMs) => {
      const reason = new Error('the worker is stopping');
      stopping.abort(reason);
      slots.close();
      const timer =
        finishMs === undefined ? undefined : setTimeout(() => heartbeat.abortAll(reason), finishMs);
      await slots.idle();
      clearTimeout(timer);
    },
  };
}

/** Returns undefined if the task was removed. */
async function readOwner(db: Db, taskId: string): Promise<string | undefined> {
  const task = await db.selectFrom('tasks').select('owner').where('id', '=', taskId).executeTakeFirst();
  return task?.owner;
}

/** @param at by `performance.now()` */
function abortAt(held: HeldLease, at: number | undefined): NodeJS.Timeout | undefined {
  if (at === undefined) return undefined;
  return setTimeout(
    () => held.abort(new Error('the push request is about to time out')),
    at - performance.now(),
  );
}
