/** Runs a step under its policy: a bound for each run, and runs again, with backoff, of one that failed. */
import { setTimeout } from 'node:timers/promises';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import { raceAbort } from './race-abort.ts';
import type { StepContext, StepOptions } from '../agent/agent.ts';

export interface StepPolicy {
  timeoutSeconds?: number | undefined;
  retries?: StepOptions['retries'];
}

/** @param signal the turn's: when it aborts, nothing is tried again */
export async function runWithPolicy<T>(
  run: (step: StepContext) => Promise<T>,
  idempotencyKey: string,
  signal: AbortSignal,
  { timeoutSeconds, retries = 0 }: StepPolicy,
): Promise<T> {
  const policy = typeof retries === 'number' ? { times: retries } : retries;
  for (let attempt = 1; ; attempt++) {
    try {
      return await runBounded(run, idempotencyKey, signal, timeoutSeconds);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FatalError || error instanceof ParkedError || attempt > policy.times) throw error;
      await setTimeout(backoffSeconds(attempt, Math.random(), policy) * 1000, undefined, { signal });
    }
  }
}

async function runBounded<T>(
  run: (step: StepContext) => Promise<T>,
  idempotencyKey: string,
  signal: AbortSignal,
  timeoutSeconds: number | undefined,
): Promise<T> {
  if (timeoutSeconds === undefined) return raceAbort(signal, run({ idempotencyKey, signal }));
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000);
  const bound = AbortSignal.any([signal, timeout]);
  try {
    return await raceAbort(bound, run({ idempotencyKey, signal: bound }));
  } catch (error) {
    if (!timeout.aborted) throw error;
    throw new RetryableError(`a step took longer than ${timeoutSeconds} s`, { cause: error });
  }
}
