/** The settings of a queue: their defaults and bounds, and when a task that failed is tried again. Pure. */
import { invalid } from './status.ts';
import { fromMillis, toMillis, type WireQueue } from './wire.ts';

export interface QueueSettings {
  maxDispatchesPerSecond: number;
  maxConcurrentDispatches: number;
  /** -1: without end. */
  maxAttempts: number;
  /** 0: without end. */
  maxRetryMs: number;
  minBackoffMs: number;
  maxBackoffMs: number;
  maxDoublings: number;
}

/** What Cloud Tasks picks when a queue is created without them. */
const defaults: QueueSettings = {
  maxDispatchesPerSecond: 500,
  maxConcurrentDispatches: 1000,
  maxAttempts: 100,
  maxRetryMs: 0,
  minBackoffMs: 100,
  maxBackoffMs: 3_600_000,
  maxDoublings: 16,
};

/** `maxRate` is 500 for Cloud Tasks; a stand-in may allow more. */
export function readSettings(
  queue: WireQueue,
  maxRate: number,
  base: QueueSettings = defaults,
): QueueSettings {
  const { rateLimits, retryConfig } = queue;
  const settings: QueueSettings = {
    // An unset number arrives as 0, and 0 is no rate: "unspecified".
    maxDispatchesPerSecond: rateLimits?.maxDispatchesPerSecond || base.maxDispatchesPerSecond,
    maxConcurrentDispatches: rateLimits?.maxConcurrentDispatches || base.maxConcurrentDispatches,
    maxAttempts: retryConfig?.maxAttempts || base.maxAttempts,
    maxRetryMs: optionalMillis(retryConfig?.maxRetryDuration) ?? base.maxRetryMs,
    minBackoffMs: optionalMillis(retryConfig?.minBackoff) ?? base.minBackoffMs,
    maxBackoffMs: optionalMillis(retryConfig?.maxBackoff) ?? base.maxBackoffMs,
    maxDoublings: retryConfig?.maxDoublings || base.maxDoublings,
  };
  if (settings.maxDispatchesPerSecond < 0 || settings.maxDispatchesPerSecond > maxRate) {
    throw invalid(`Queue.rate_limits.max_dispatches_per_second must be between 0 and ${maxRate}.`);
  }
  if (settings.maxConcurrentDispatches < 0 || settings.maxConcurrentDispatches > 5000) {
    throw invalid('Queue.rate_limits.max_concurrent_dispatches must be between 0 and 5000.');
  }
  if (settings.maxAttempts < -1) throw invalid('Queue.retry_config.max_attempts must be at least -1.');
  if (settings.minBackoffMs < 0 || settings.maxBackoffMs < settings.minBackoffMs) {
    throw invalid('Queue.retry_config.min_backoff must not be above max_backoff.');
  }
  return settings;
}

function optionalMillis(duration: Parameters<typeof toMillis>[0] | null | undefined): number | undefined {
  return duration === null || duration === undefined ? undefined : toMillis(duration);
}

export function writeSettings(settings: QueueSettings): Pick<WireQueue, 'rateLimits' | 'retryConfig'> {
  return {
    rateLimits: {
      maxDispatchesPerSecond: settings.maxDispatchesPerSecond,
      maxBurstSize: burstOf(settings),
      maxConcurrentDispatches: settings.maxConcurrentDispatches,
    },
    retryConfig: {
      maxAttempts: settings.maxAttempts,
      maxRetryDuration: fromMillis(settings.maxRetryMs),
      minBackoff: fromMillis(settings.minBackoffMs),
      maxBackoff: fromMillis(settings.maxBackoffMs),
      maxDoublings: settings.maxDoublings,
    },
  };
}

/** The size of the token bucket: a fifth of a second's dispatches, as Cloud Tasks picks 100 for 500. */
export function burstOf({ maxDispatchesPerSecond }: QueueSettings): number {
  return Math.max(1, Math.ceil(maxDispatchesPerSecond / 5));
}

/**
 * How long after its `attempts`-th failure a task waits; undefined: it is given up. A task is given up when its attempts
 * are spent and, where there is a time limit too, that has passed as well.
 */
export function retryDelay(settings: QueueSettings, attempts: number, ageMs: number): number | undefined {
  const { maxAttempts, maxRetryMs, minBackoffMs, maxBackoffMs, maxDoublings } = settings;
  const attemptsSpent = maxAttempts !== -1 && attempts >= maxAttempts;
  const timeSpent = maxRetryMs > 0 && ageMs >= maxRetryMs;
  if (maxAttempts === -1 ? timeSpent : attemptsSpent && (maxRetryMs === 0 || timeSpent)) return undefined;
  // Doubles `maxDoublings` times, then grows by the last interval: 10, 20, 40, 80, 160, 240, 300, 300 …
  const doublings = Math.min(attempts - 1, maxDoublings);
  const linear = Math.max(1, attempts - maxDoublings);
  return Math.min(maxBackoffMs, minBackoffMs * 2 ** doublings * linear);
}
