/**
 * Rings bells right after the commit that wrote them (invariant 2), and removes those that were rung. It never fails
 * and nobody waits for it: what is not rung here is rung by the relay.
 */
import { removeBells, type Bell, type DeliveryBell, type TurnBell } from '../db/bells.ts';
import { combine } from '../db/combiner.ts';
import type { Db } from '../db/database.ts';
import { messageOf, type Logger } from '../runtime/log.ts';

/** Wakes a worker for a turn: a message on Pub/Sub. Resolves when the service has taken it. */
export type PublishTurn = (bell: Omit<TurnBell, 'id' | 'kind'>) => Promise<void>;

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
  publishTurn: PublishTurn;
  scheduleDelivery: ScheduleDelivery;
  log: Logger;
}): Ringer {
  const { db, publishTurn, scheduleDelivery, log } = parts;
  const remove = combine(
    async (ids: readonly string[]) => {
      await removeBells(db, ids);
      return ids;
    },
    { max: 500, gatherMs: removeAfterMs },
  );
  const underWay = new Set<Promise<void>>();

  async function ringOne(bell: Bell): Promise<void> {
    try {
      await (bell.kind === 'turn' ? publishTurn(bell) : scheduleDelivery(bell));
      await remove(bell.id);
    } catch (error) {
      log.warn(
        { kind: bell.kind, taskId: bell.taskId, error: messageOf(error) },
        'a bell was not rung; the relay will',
      );
    }
  }

  const ringer: Ringer = {
    ring: (bells) => {
      if (bells.length === 0) return;
      const ringing = ringer.ringAll(bells).finally(() => underWay.delete(ringing));
      underWay.add(ringing);
    },
    ringAll: async (bells) => {
      await Promise.all(bells.map(ringOne));
    },
    idle: async () => {
      await Promise.all(underWay);
    },
  };
  return ringer;
}
