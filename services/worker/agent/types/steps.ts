/** The steps of a turn. */
import type { BackoffPolicy } from '#shared/domain/backoff.ts';
import type { Json } from '#shared/domain/message.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';

export interface StepContext {
  /** Identifies this step; the same in all its runs. Pass it to every service that the step changes. */
  readonly idempotencyKey: string;
  /** Aborts with the signal of the turn, and when this run exceeds its timeout. */
  readonly signal: AbortSignal;
}

export interface StepOptions {
  /** The input of the step. Its hash is recorded next to the result. */
  input?: Json;
  /**
   * Identifies the step by its name and its input, in place of its number: for steps that may start in another order
   * when the turn runs again, such as those of agents that run side by side. Steps of the same name and input are
   * distinguished by their number. All steps of a name set it, or none. Default: false.
   */
  matchInput?: boolean;
  /**
   * Reads the usage of a model call from the result. It is recorded, and counted for the task and its owner.
   */
  usage?: (result: Json) => ModelUsage | undefined;
  /**
   * Timeout of one run, in seconds. Its signal aborts then; 500 ms later the run counts as failed even if it
   * ignores the signal. Default: `limits.stepSeconds` of the definition, otherwise only the limit of the turn
   * applies.
   */
  timeoutSeconds?: number;
  /**
   * How many times a failed run is retried within the turn, with the same idempotency key. A `FatalError` or
   * `ParkedError` is never retried. The turn occupies its worker while it waits. Default: 0.
   */
  retries?: number | StepRetries;
  /**
   * Records that the step has started before `run` is called. Set it for side effects (invariant 3). Default:
   * false.
   */
  sideEffects?: boolean;
}

/**
 * Retries with backoff: the wait doubles from `firstSeconds` (default: 1) to `longestSeconds` (default: 60),
 * with jitter.
 */
export interface StepRetries extends BackoffPolicy {
  /** Retries after the first run. */
  times: number;
}
