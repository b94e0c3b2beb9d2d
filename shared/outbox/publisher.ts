/**
 * Rings bells right after the commit that wrote them (invariant 2), and removes those that were rung. It never fails
 * and nobody waits for it: what is not rung here is rung by the relay.
 *
 * Bells of turns go by sets: those that were rung in one turn of the event loop. One by one they cost several times as much,
 * most of it for promises that live until the bell is removed, which the garbage collector then has to move.
 */
import { setImmediate } from 'node:timers/promises';
import { context, type Context } from '@opentelemetry/api';
import { removeBells, type Bell, type DeliveryBell, type TurnBell } from '../db/outbox/outbox.ts';
import { combine } from '../db/client/batcher.ts';
import type { Db } from '../db/client/pool.ts';
import { messageOf, type Logger } from '../runtime/log.ts';

/** A bell and the context in which it is rung, for its span. */
export type RungTurn = TurnBell & { parent: Context };

/** Turns that are published together at most; Pub/Sub takes 1,000 messages in a call. */
const maxPublished = 500;

/** Wakes workers for turns: messages on Pub/Sub, in one call. Resolves when the service has taken them. */
export type PublishTurns = (bells: readonly RungTurn[]) => Promise<void>;

/** Wakes the dispatcher for a webhook at a time: a task on Cloud Tasks. Resolves when the service has taken it. */
export type ScheduleDelivery = (bell: Omit<DeliveryBell, 'kind'>) => Promise<void>;

/** Nobody waits for a removal, and each costs a commit; the relay leaves bells alone for two seconds. */
const removeAfterMs = 100;

export interface Ringer {
  /** Rings in the background. */
  ring(bells: readonly Bell[]): void;
  /** Rings now and resolves when all are rung or have failed. */
  ringAll(bells: readonly Bell[]): Promise<void>;
  /** Resolves when nothing is being rung. */
  idle(): Promise<void>;
}

export function createRinger(parts: {
  db: Db;
  publishTurns: PublishTurns;
  scheduleDelivery: ScheduleDelivery;
  log: Logger;
}): Ringer {
  const { db, publishTurns, scheduleDelivery, log } = parts;
  const remove = combine(
    async (sets: readonly (readonly string[])[]) => {
      await removeBells(db, sets.flat());
      return sets;
    },
    { max: 500, gatherMs: removeAfterMs },
  );
  const underWay = new Set<Promise<void>>();
  let gathered: RungTurn[] = [];

  async function ringGathered(): Promise<void> {
    await setImmediate();
    const turns = gathered;
    gathered = [];
    await ringTurns(turns);
  }

  async function ringTurns(turns: readonly RungTurn[]): Promise<void> {
    const sets = Array.from({ length: Math.ceil(turns.length / maxPublished) }, (_, index) =>
      turns.slice(index * maxPublished, (index + 1) * maxPublished),
    );
    await Promise.all(sets.map((set) => attempt(set, () => publishTurns(set))));
  }

  async function attempt(bells: readonly Bell[], ring: () => Promise<void>): Promise<void> {
    try {
      await ring();
      await remove(bells.map(({ id }) => id));
    } catch (error) {
      log.warn(
        { kind: bells[0]?.kind, tasks: bells.map(({ taskId }) => taskId), error: messageOf(error) },
        'bells were not rung; the relay will',
      );
    }
  }

  const ringDelivery = (bell: DeliveryBell) => attempt([bell], () => scheduleDelivery(bell));

  function inBackground(ringing: Promise<void>): void {
    const ended = ringing.finally(() => underWay.delete(ended));
    underWay.add(ended);
  }

  return {
    ring: (bells) => {
      const { turns, deliveries } = sorted(bells);
      for (const bell of deliveries) inBackground(ringDelivery(bell));
      if (turns.length === 0) return;
      if (gathered.length === 0) inBackground(ringGathered());
      gathered.push(...turns);
    },
    ringAll: async (bells) => {
      const { turns, deliveries } = sorted(bells);
      await Promise.all([ringTurns(turns), ...deliveries.map(ringDelivery)]);
    },
    idle: async () => {
      await Promise.all(underWay);
    },
  };
}

function sorted(bells: readonly Bell[]): { turns: RungTurn[]; deliveries: DeliveryBell[] } {
  const turns: RungTurn[] = [];
  const deliveries: DeliveryBell[] = [];
  for (const bell of bells) {
    if (bell.kind === 'turn') turns.push({ ...bell, parent: context.active() });
    else deliveries.push(bell);
  }
  return { turns, deliveries };
}
