/** Runs a step under its policy: a bound for each run, and runs again, with backoff, of one that failed. */
import { setTimeout } from 'node:timers/promises';
import { turnBackoffSeconds } from '#shared/domain/backoff.ts';
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import type { StepContext, StepOptions } from './agent/agent.ts';

/** @param signal the turn's: when it aborts, nothing is tried again */
export async function runWithPolicy<T>(
  run: (step: StepContext) => Promise<T>,
  idempotencyKey: string,
  signal: AbortSignal,
  { timeoutSeconds, retries = 0 }: StepOptions,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const bound =
      timeoutSeconds === undefined
        ? signal
        : AbortSignal.any([signal, AbortSignal.timeout(timeoutSeconds * 1000)]);
    try {
      return await run({ idempotencyKey, signal: bound });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FatalError || error instanceof ParkedError || attempt > retries) throw error;
      await setTimeout(turnBackoffSeconds(attempt, Math.random()) * 1000, undefined, { signal });
    }
  }
}
