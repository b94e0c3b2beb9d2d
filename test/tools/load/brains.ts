/** Models for load: one that is slow, and one that refuses. */
import type { Responder } from '#services/local/offline-model/responder.ts';
import { say } from '#services/local/offline-model/reply.ts';
import { lastUserText } from '#services/local/offline-model/wire.ts';

export function slow(delayMs: number): Responder {
  return () => ({ ...say('done'), delayMs });
}

/** Refuses calls by the share, the same ones in each run, but none of one task more often than that in a row. */
export function refusing({ share, inARow }: { share: number; inARow: number }): Responder {
  const refusals = new Map<string, number>();
  let state = 20_261_125;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return (request) => {
    const task = lastUserText(request);
    const before = refusals.get(task) ?? 0;
    if (before < inARow && random() < share) {
      refusals.set(task, before + 1);
      return { pieces: [], error: { status: 429 } };
    }
    refusals.delete(task);
    return { ...say('done'), delayMs: 200 };
  };
}

/** Keeps a quota of its own, with a second's worth saved, and tells those that it refuses when there is room again. */
export function limiting({ perMinute }: { perMinute: number }): Responder {
  const costMs = 60_000 / perMinute;
  let paidAt = 0;
  return () => {
    const now = performance.now();
    paidAt = Math.max(paidAt, now - 1000);
    if (paidAt > now) {
      const retryDelay = `${((paidAt - now) / 1000).toFixed(3)}s`;
      return { pieces: [], error: { status: 429, retryDelay } };
    }
    paidAt += costMs;
    return { ...say('done'), delayMs: 200 };
  };
}
