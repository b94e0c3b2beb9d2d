/** Queue settings with their defaults and bounds, and the retry schedule of failed tasks. Pure. */
import { invalid } from '../emulator/status.ts';
import { fromMillis, toMillis } from '../emulator/duration.ts';
import type { WireQueue } from './wire.ts';

export interface QueueSettings {
  maxDispatchesPerSecond: number;
  maxConcurrentDispatches: number;
  /** -1: unlimited. */
  maxAttempts: number;
  /** 0: unlimited. */
  maxRetryMs: number;
  minBackoffMs: number;
  maxBackoffMs: number;
  maxDoublings: number;
}

/** Cloud Tasks sets these when a queue is created without them. */
const defaults: QueueSettings = {
  maxDispatchesPerSecond: 500,
  maxConcurrentDispatches: 1000,
  maxAttempts: 100,
  maxRetryMs: 0,
  minBackoffMs: 100,
  maxBackoffMs: 3_600_000,
  maxDoublings: 16,
};

/**
 * Reads the settings of a queue. Fields that are not set come from `base`.
 *
 * @param maxRate the highest dispatch rate that a queue may set, per second. Cloud Tasks: 500
 * @throws {StatusError} INVALID_ARGUMENT, naming the field and its bounds
 */
export function parseQueueSettings(
  queue: WireQueue,
  maxRate: number,
  base: QueueSettings = defaults,
): QueueSettings {
  const { rateLimits, retryConfig } = queue;
  const settings: QueueSettings = {
    // An unset number arrives as 0, which is not a valid rate.
    maxDispatchesPerSecond: rateLimits?.maxDispatchesPerSecond || base.maxDispatchesPerSecond,
    maxConcurrentDispatches: rateLimits?.maxConcurrentDispatches || base.maxConcurrentDispatches,
    maxAttempts: retryConfig?.maxAttempts || base.maxAttempts,
    maxRetryMs: toMillis(retryConfig?.maxRetryDuration) ?? base.maxRetryMs,
    minBackoffMs: toMillis(retryConfig?.minBackoff) ?? base.minBackoffMs,
    maxBackoffMs: toMillis(retryConfig?.maxBackoff) ?? base.maxBackoffMs,
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
    throw invalid('Queue.retry_config.min_backoff must be from 0 to max_backoff.');
  }
  return settings;
}

export function toWireSettings(settings: QueueSettings): Pick<WireQueue, 'rateLimits' | 'retryConfig'> {
  return {
    rateLimits: {
      maxDispatchesPerSecond: settings.maxDispatchesPerSecond,
      maxBurstSize: getBurstSize(settings),
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

/** Returns the token bucket size, a fifth of the rate per second: Cloud Tasks sets 100 for a rate of 500. */
export function getBurstSize({ maxDispatchesPerSecond }: QueueSettings): number {
  return Math.max(1, Math.ceil(maxDispatchesPerSecond / 5));
}

/**
 * Returns the delay in milliseconds before a task is retried after its `attempts`-th failure, or undefined if
 * the task is abandoned: its attempts are spent and its time limit, if any, has passed.
 */
export function getRetryDelay(settings: QueueSettings, attempts: number, ageMs: number): number | undefined {
  const { maxAttempts, maxRetryMs, minBackoffMs, maxBackoffMs, maxDoublings } = settings;
  const attemptsSpent = maxAttempts !== -1 && attempts >= maxAttempts;
  const timeSpent = maxRetryMs > 0 && ageMs >= maxRetryMs;
  if (maxAttempts === -1 ? timeSpent : attemptsSpent && (maxRetryMs === 0 || timeSpent)) return undefined;
  // The delay doubles `maxDoublings` times, then grows by the last interval: 10, 20, 40, 80, 160, 240, 300,
  // 300 …
  const doublings = Math.min(attempts - 1, maxDoublings);
  const linear = Math.max(1, attempts - maxDoublings);
  return Math.min(maxBackoffMs, minBackoffMs * 2 ** doublings * linear);
}
