/** Runs a step under its policy: a timeout for each run, and retries with backoff after a failed one. */
import { setTimeout } from 'node:timers/promises';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import type { StepContext, StepOptions } from '../agent/agent.ts';
import { raceAbort } from './race-abort.ts';

/** A step has exceeded its timeout. */
export class StepTimeoutError extends RetryableError {}

export interface StepPolicy {
  timeoutSeconds?: number | undefined;
  retries?: StepOptions['retries'];
}

/**
 * @param signal of the turn: once it aborts, the step is not retried
 * @throws {StepTimeoutError} if the last run exceeds its timeout
 */
export async function runWithPolicy<T>(
  run: (step: StepContext) => Promise<T>,
  idempotencyKey: string,
  signal: AbortSignal,
  { timeoutSeconds, retries = 0 }: StepPolicy,
): Promise<T> {
  const policy = typeof retries === 'number' ? { times: retries } : retries;
  for (let attempt = 1; ; attempt++) {
    try {
      return await runWithTimeout(run, idempotencyKey, signal, timeoutSeconds);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FatalError || error instanceof ParkedError || attempt > policy.times) throw error;
      await setTimeout(backoffSeconds(attempt, Math.random(), policy) * 1000, undefined, { signal });
    }
  }
}

async function runWithTimeout<T>(
  run: (step: StepContext) => Promise<T>,
  idempotencyKey: string,
  signal: AbortSignal,
  timeoutSeconds: number | undefined,
): Promise<T> {
  if (timeoutSeconds === undefined) return raceAbort(signal, run({ idempotencyKey, signal }));
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000);
  const either = AbortSignal.any([signal, timeout]);
  try {
    return await raceAbort(either, run({ idempotencyKey, signal: either }));
  } catch (error) {
    if (!timeout.aborted) throw error;
    throw new StepTimeoutError(`a step took longer than ${timeoutSeconds} s`, { cause: error });
  }
}
