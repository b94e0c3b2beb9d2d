/**
 * Runs a turn for each wake-up that the worker has pulled, or puts it into the queue of its owner:
 *
 *   wake-up ─▶ room for the owner? ──▶ claim ─▶ acknowledge ─▶ run
 *                │ no                             ▲
 *                └─▶ enqueue ─▶ acknowledge       └── owner-queues.ts takes turns when there is room
 *
 * All turns of an owner with a limit go through its queue, and so do all turns of an owner whose queue is being
 * followed: they keep their order. The wake-ups of one owner that wait take at most half of the places of all, so those
 * of another owner pass them, however many there are. An owner that is alone has all places: the queue costs a fifth of
 * the tasks that a worker can run.
 */
import { isPassing } from '#shared/db/client/errors.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { QueuedTurn } from '#shared/db/queue/dequeue.ts';
import { readQueueOwners } from '#shared/db/queue/enqueue.ts';
import type { VersionedTurn } from '#shared/db/queue/versions.ts';
import type { TurnMessage } from '#shared/gcp/pubsub.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { Intake } from './intake.ts';
import { followQueues } from './owner-queues.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

/** How long a wake-up waits for room. Short turns make room in less time, which saves the queue. */
const patienceMs = 250;
/** A wake-up of this age has waited in Pub/Sub behind others, which it should not delay any further. */
const lateMs = 5_000;
/** Largest number of queues that are followed at once. */
const maxQueues = 500;

export interface PullConsumer {
  onTurn(message: TurnMessage): void;
  /** Runs a turn that was left to workers of this version, or puts it back. Never rejects. */
  runVersioned(turn: VersionedTurn): Promise<void>;
  /** Takes no more turns from queues. Drain the intake first, or at the same time. */
  close(): Promise<void>;
}

export function createPullConsumer(parts: {
  db: Db;
  intake: Intake;
  /** Interval at which the worker looks for queues. */
  pollMs: number;
  /** Maximum number of wake-ups that are here at once. */
  prefetch: number;
  /** Whether the worker takes new turns: not while a newer version of the agent does. */
  takesNew: () => boolean;
  log: Logger;
}): PullConsumer {
  const { db, intake, takesNew, log } = parts;
  const { slots, stopSignal } = intake;
  const queues = followQueues({
    slots,
    dequeue: async (...args) => (takesNew() ? intake.dequeue(...args) : { turns: [], mayHaveMore: false }),
    run: runQueued,
    findOwners: async () => (takesNew() ? readQueueOwners(db, maxQueues) : []),
    pollMs: parts.pollMs,
    log,
  });

  async function receive(message: TurnMessage): Promise<void> {
    const { taskId, sent, ack, nack } = message;
    try {
      const found = await intake.findOwner(message);
      if (found === undefined) ack();
      else if (found.limit === 0 && (await acquireSlot(found.owner, sent.at)))
        await run(found.owner, message);
      else if (stopSignal.aborted) nack();
      else {
        await intake.enqueue(taskId);
        ack();
        follow(found.owner);
      }
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn']({ taskId, error: errorMessage(error) }, 'turn claim failed');
      nack();
    }
  }

  async function acquireSlot(owner: string, sentAt: number): Promise<boolean> {
    if (queues.has(owner)) return false;
    const waits = databaseNow() - sentAt <= lateMs && slots.mayWait(owner, parts.prefetch);
    return slots.acquire(owner, waits ? patienceMs : 0);
  }

  async function run(owner: string, { taskId, sent, ack }: TurnMessage): Promise<void> {
    try {
      await intake.claimAndRun(taskId, sent, { onClaimAnswered: ack });
    } finally {
      slots.release(owner);
    }
  }

  /** A turn that fails here has been removed from its queue: the reconciler finds it after the grace period. */
  async function runQueued(owner: string, { taskId, queuedAt }: QueuedTurn): Promise<void> {
    try {
      if (stopSignal.aborted) await intake.enqueue(taskId);
      else await intake.claimAndRun(taskId, { at: queuedAt.getTime(), traceparent: undefined });
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn'](
        { taskId, error: errorMessage(error) },
        'claim of a queued turn failed',
      );
    } finally {
      slots.release(owner);
      follow(owner);
    }
  }

  function follow(owner: string): void {
    if (takesNew()) queues.follow(owner);
  }

  async function runVersioned({ taskId, owner, queuedAt, admitted }: VersionedTurn): Promise<void> {
    try {
      const found = await intake.findOwner({ taskId, owner });
      if (found !== undefined && found.limit > 0 && !admitted) await intake.enqueue(taskId);
      else if (slots.take(owner, 1) === 1) await runQueued(owner, { taskId, queuedAt });
      else await intake.leave(taskId);
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn'](
        { taskId, error: errorMessage(error) },
        'turn of this version was not taken',
      );
    }
  }

  return {
    onTurn: (message) => void receive(message),
    runVersioned,
    close: () => queues.close(),
  };
}
