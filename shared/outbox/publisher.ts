/**
 * Rings wakeups right after the commit that wrote them (invariant 2), and removes those that were rung. It never fails
 * and nobody waits for it: what is not rung here is rung by the relay.
 *
 * Wakeups of turns go by sets: those that were rung in one turn of the event loop. One by one they cost several times as much,
 * most of it for promises that live until the wakeup is removed, which the garbage collector then has to move.
 */
import { setImmediate } from 'node:timers/promises';
import { context } from '@opentelemetry/api';
import { deleteWakeups } from '../db/outbox/outbox.ts';
import type { DeliveryWakeup, Wakeup } from '../domain/wakeup.ts';
import type { ScheduleDelivery } from '../gcp/cloud-tasks.ts';
import type { PublishTurns, TracedWakeup } from '../gcp/pubsub.ts';
import { createBatcher } from '../db/client/batcher.ts';
import type { Db } from '../db/client/pool.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';

/** Turns that are published together at most; Pub/Sub takes 1,000 messages in a call. */
const maxPublished = 500;

/** Nobody waits for a removal, and each costs a commit; the relay leaves wakeups alone for two seconds. */
const removeAfterMs = 100;

export interface OutboxPublisher {
  /** Rings in the background. */
  publish(wakeups: readonly Wakeup[]): void;
  /** Rings now and resolves when all are rung or have failed. */
  publishAll(wakeups: readonly Wakeup[]): Promise<void>;
  /** Resolves when nothing is being rung. */
  idle(): Promise<void>;
}

export function createOutboxPublisher(parts: {
  db: Db;
  publishTurns: PublishTurns;
  scheduleDelivery: ScheduleDelivery;
  log: Logger;
}): OutboxPublisher {
  const { db, publishTurns, scheduleDelivery, log } = parts;
  const remove = createBatcher(
    async (sets: readonly (readonly string[])[]) => {
      await deleteWakeups(db, sets.flat());
      return sets;
    },
    { max: 500, gatherMs: removeAfterMs },
  );
  const underWay = new Set<Promise<void>>();
  let gathered: TracedWakeup[] = [];

  async function publishGathered(): Promise<void> {
    await setImmediate();
    const turns = gathered;
    gathered = [];
    await publishTurnWakeups(turns);
  }

  async function publishTurnWakeups(turns: readonly TracedWakeup[]): Promise<void> {
    const sets = Array.from({ length: Math.ceil(turns.length / maxPublished) }, (_, index) =>
      turns.slice(index * maxPublished, (index + 1) * maxPublished),
    );
    await Promise.all(sets.map((set) => attempt(set, () => publishTurns(set))));
  }

  async function attempt(wakeups: readonly Wakeup[], publish: () => Promise<void>): Promise<void> {
    try {
      await publish();
      await remove(wakeups.map(({ id }) => id));
    } catch (error) {
      log.warn(
        { kind: wakeups[0]?.kind, tasks: wakeups.map(({ taskId }) => taskId), error: errorMessage(error) },
        'wakeups were not rung; the relay will',
      );
    }
  }

  const publishDeliveryWakeup = (wakeup: DeliveryWakeup) => attempt([wakeup], () => scheduleDelivery(wakeup));

  function inBackground(ringing: Promise<void>): void {
    const ended = ringing.finally(() => underWay.delete(ended));
    underWay.add(ended);
  }

  return {
    publish: (wakeups) => {
      const { turns, deliveries } = sorted(wakeups);
      for (const wakeup of deliveries) inBackground(publishDeliveryWakeup(wakeup));
      if (turns.length === 0) return;
      if (gathered.length === 0) inBackground(publishGathered());
      gathered.push(...turns);
    },
    publishAll: async (wakeups) => {
      const { turns, deliveries } = sorted(wakeups);
      await Promise.all([publishTurnWakeups(turns), ...deliveries.map(publishDeliveryWakeup)]);
    },
    idle: async () => {
      await Promise.all(underWay);
    },
  };
}

function sorted(wakeups: readonly Wakeup[]): { turns: TracedWakeup[]; deliveries: DeliveryWakeup[] } {
  const turns: TracedWakeup[] = [];
  const deliveries: DeliveryWakeup[] = [];
  for (const wakeup of wakeups) {
    if (wakeup.kind === 'turn') turns.push({ ...wakeup, parent: context.active() });
    else deliveries.push(wakeup);
  }
  return { turns, deliveries };
}
