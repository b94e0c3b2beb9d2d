/**
 * Publishes wake-ups right after the commit that wrote them (invariant 2), and deletes the published ones
 * from the outbox. Failures are logged, never thrown: the relay publishes the remaining ones.
 *
 * Wake-ups of turns are published in batches: all that are queued during one turn of the event loop.
 * Publishing them one by one would cost several times as much, mostly because each needs promises that live
 * until the wake-up is deleted, and that the garbage collector has to move.
 */
import { setImmediate } from 'node:timers/promises';
import { context } from '@opentelemetry/api';
import { deleteWakeups } from '../db/outbox/outbox.ts';
import type { DeliveryWakeup, Wakeup } from '../domain/wakeup.ts';
import type { ScheduleDeliveries } from '../gcp/cloud-tasks.ts';
import type { PublishTurns, TracedWakeup } from '../gcp/pubsub.ts';
import { createBatcher } from '../db/client/batcher.ts';
import type { Db } from '../db/client/pool.ts';
import { databaseNow } from '../runtime/clock.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';
import { createDeliveryWakeups } from './delivery-wakeups.ts';

/** Largest batch of one publish call; Pub/Sub accepts up to 1,000 messages. */
const maxPublished = 500;

/** Deletions are gathered, because each costs a commit. The relay ignores fresh wake-ups for two seconds. */
const deleteAfterMs = 100;

export interface OutboxPublisher {
  /** Publishes in the background. */
  publish(wakeups: readonly Wakeup[]): void;
  /** Resolves when every wake-up is published or has failed; those of turns that start later are not awaited. */
  publishAll(wakeups: readonly Wakeup[]): Promise<void>;
  /** Stops waiting for turns that start later, and resolves when no publish is in flight. */
  idle(): Promise<void>;
}

export function createOutboxPublisher(parts: {
  db: Db;
  publishTurns: PublishTurns;
  scheduleDeliveries: ScheduleDeliveries;
  log: Logger;
}): OutboxPublisher {
  const { db, publishTurns, scheduleDeliveries, log } = parts;
  const deletePublished = createBatcher(
    async (sets: readonly (readonly string[])[]) => {
      await deleteWakeups(db, sets.flat());
      return sets;
    },
    { max: 500, gatherMs: deleteAfterMs },
  );
  const inFlight = new Set<Promise<void>>();
  const timers = new Set<NodeJS.Timeout>();
  let queuedTurns: TracedWakeup[] = [];

  async function publishQueuedTurns(): Promise<void> {
    await setImmediate();
    const turns = queuedTurns;
    queuedTurns = [];
    await publishTurnWakeups(turns);
  }

  async function publishTurnWakeups(turns: readonly TracedWakeup[]): Promise<void> {
    const batches = Array.from({ length: Math.ceil(turns.length / maxPublished) }, (_, index) =>
      turns.slice(index * maxPublished, (index + 1) * maxPublished),
    );
    await Promise.all(batches.map(attempt));
  }

  async function attempt(turns: readonly TracedWakeup[]): Promise<void> {
    try {
      await publishTurns(turns);
      await deletePublished(turns.map(({ id }) => id));
    } catch (error) {
      logFailure(turns, error);
    }
  }

  function logFailure(wakeups: readonly Wakeup[], error: unknown): void {
    log.warn(
      { kind: wakeups[0]?.kind, tasks: wakeups.map(({ taskId }) => taskId), error: errorMessage(error) },
      'wake-ups were not published; the relay will retry',
    );
  }

  const deliveryWakeups = createDeliveryWakeups({ db, scheduleDeliveries, onFailure: logFailure });

  function runInBackground(publishing: Promise<void>): void {
    const ended = publishing.finally(() => inFlight.delete(ended));
    inFlight.add(ended);
  }

  function queueTurns(turns: readonly TracedWakeup[]): void {
    if (turns.length === 0) return;
    if (queuedTurns.length === 0) runInBackground(publishQueuedTurns());
    queuedTurns.push(...turns);
  }

  function publishLater(turn: TracedWakeup, delayMs: number): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      queueTurns([turn]);
    }, delayMs);
    timers.add(timer.unref());
  }

  /** Returns the turns that may start now, and publishes the others when they may. */
  function splitLater(turns: readonly TracedWakeup[]): TracedWakeup[] {
    const now = databaseNow();
    return turns.filter((turn) => {
      const delayMs = (turn.notBefore?.getTime() ?? now) - now;
      // Timers may fire a millisecond early, when the turn cannot be claimed yet.
      if (delayMs > 0) publishLater(turn, delayMs + 1);
      return delayMs <= 0;
    });
  }

  return {
    publish: (wakeups) => {
      if (wakeups.length === 0) return;
      const { turns, deliveries } = splitByKind(wakeups);
      if (deliveries.length > 0) runInBackground(deliveryWakeups.publish(deliveries, { headStart: true }));
      queueTurns(splitLater(turns));
    },
    publishAll: async (wakeups) => {
      const { turns, deliveries } = splitByKind(wakeups);
      await Promise.all([
        publishTurnWakeups(splitLater(turns)),
        deliveryWakeups.publish(deliveries, { headStart: false }),
      ]);
    },
    idle: async () => {
      // The relay publishes those that this process will not.
      for (const timer of timers) clearTimeout(timer);
      deliveryWakeups.hurry();
      await Promise.all(inFlight);
    },
  };
}

function splitByKind(wakeups: readonly Wakeup[]): { turns: TracedWakeup[]; deliveries: DeliveryWakeup[] } {
  const turns: TracedWakeup[] = [];
  const deliveries: DeliveryWakeup[] = [];
  for (const wakeup of wakeups) {
    if (wakeup.kind === 'turn') turns.push({ ...wakeup, parent: context.active() });
    else deliveries.push(wakeup);
  }
  return { turns, deliveries };
}
