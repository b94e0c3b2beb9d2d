/** Models for load runs: a slow one, one that refuses calls at random, and one with a quota of its own. */
import type { Responder } from '#services/local/offline-model/responder.ts';
import { createTextReply } from '#services/local/offline-model/reply.ts';
import { getLastUserText } from '#services/local/offline-model/wire.ts';

export function createSlowResponder(delayMs: number): Responder {
  return () => ({ ...createTextReply('done'), delayMs });
}

/** Refuses a share of all calls with 429, the same ones in each run, and at most `maxInARow` calls of one task in a row. */
export function createRefusingResponder({
  share,
  maxInARow,
}: {
  share: number;
  maxInARow: number;
}): Responder {
  const refusals = new Map<string, number>();
  let state = 20_261_125;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return (request) => {
    const task = getLastUserText(request);
    const before = refusals.get(task) ?? 0;
    if (before < maxInARow && random() < share) {
      refusals.set(task, before + 1);
      return { pieces: [], error: { status: 429 } };
    }
    refusals.delete(task);
    return { ...createTextReply('done'), delayMs: 200 };
  };
}

/** Enforces a quota with a burst of one second. A refused call gets the delay after which to retry. */
export function createLimitingResponder({ perMinute }: { perMinute: number }): Responder {
  const costMs = 60_000 / perMinute;
  let nextAt = 0;
  return () => {
    const now = performance.now();
    nextAt = Math.max(nextAt, now - 1000);
    if (nextAt > now) {
      const retryDelay = `${((nextAt - now) / 1000).toFixed(3)}s`;
      return { pieces: [], error: { status: 429, retryDelay } };
    }
    nextAt += costMs;
    return { ...createTextReply('done'), delayMs: 200 };
  };
}
