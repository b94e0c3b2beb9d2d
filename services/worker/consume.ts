/**
 * From bells to turns. A bell is acknowledged once the database has answered who has the turn (invariant 2): what is
 * still to be done has its own bell. No more turns are claimed than can run; a bell that finds no room for a while is
 * given back, for a worker that has some.
 */
import type { Ringer } from '#shared/bells/ringer.ts';
import type { Claim } from '#shared/db/leases.ts';
import type { TurnMessage } from '#shared/gcp/pubsub.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { messageOf, type Logger } from '#shared/runtime/log.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { runTurn, type RunParts } from './run-turn.ts';
import { Slots } from './slots.ts';

const roomWaitMs = 2_000;

export interface ConsumeParts extends RunParts {
  claim: Claim;
  keeper: LeaseKeeper;
  ringer: Ringer;
  concurrency: number;
  log: Logger;
}

export interface Consumer {
  onTurn: (message: TurnMessage) => void;
  readonly running: number;
  /**
   * Claims nothing more; lets turns finish for `finishMs`, then has the rest give their leases back.
   */
  drain(finishMs: number): Promise<void>;
}

export function createConsumer(parts: ConsumeParts): Consumer {
  const { claim, keeper, ringer, log } = parts;
  const slots = new Slots(parts.concurrency);
  const stopping = new AbortController();
  let draining = false;

  async function receive(message: TurnMessage): Promise<void> {
    if (draining || !(await slots.take(roomWaitMs))) {
      message.nack();
      return;
    }
    try {
      const claimedAt = performance.now();
      const result = await claim(message.taskId);
      message.ack();
      if (result.kind !== 'claimed') return;
      passFaultPoint('turn-claimed');
      ringer.ring(result.bells);
      await runTurn(parts, result, keeper.hold(result.lease, claimedAt), stopping.signal);
    } catch (error) {
      log.warn({ taskId: message.taskId, error: messageOf(error) }, 'a turn could not be claimed');
      message.nack();
    } finally {
      slots.give();
    }
  }

  return {
    onTurn: (message) => void receive(message),
    get running() {
      return slots.taken;
    },
    drain: async (finishMs) => {
      draining = true;
      const timer = setTimeout(() => stopping.abort(new Error('the worker is stopping')), finishMs);
      await slots.idle();
      clearTimeout(timer);
    },
  };
}
