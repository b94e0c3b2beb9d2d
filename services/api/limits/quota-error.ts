/** The refusal of a request that would exceed a limit of its owner. */
import { secondsToMidnight } from '#shared/domain/owner-limits.ts';
import { RetryLaterError } from '../handler/errors.ts';
import { secondsToNextHour } from '#shared/db/webhooks/usage.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { countOwnerRefusal, type RequestLimit } from './refusals.ts';

export interface Exceeded {
  limit: RequestLimit;
  used: number;
  max: number;
  /** The amount that the request needs. */
  wanted: number;
}

/**
 * When a client that does nothing about its limit should try again, in seconds. The limits of an hour and of a day end with it; the
 * others end when tasks end or are removed, or when something is deleted.
 */
const retryAfter = {
  openTasks: 10,
  storedBytes: 3600,
  webhookConfigs: 60,
  schedules: 60,
} as const satisfies Record<Exclude<RequestLimit, PeriodLimit>, number>;

type PeriodLimit = 'webhookBytesPerHour' | 'modelCostPerDay';

/** HTTP 429. The details have the form of google.rpc.ErrorInfo and google.rpc.RetryInfo. */
export class QuotaExceededError extends RetryLaterError {
  override readonly name = 'QuotaExceededError';
  readonly statusCode = 429;
  readonly retryAfterSeconds: number;
  override readonly details: readonly object[];

  constructor(exceeded: Exceeded) {
    super(describe(exceeded));
    const { limit, used, max } = exceeded;
    this.retryAfterSeconds = getRetryAfter(limit);
    const info = {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'OWNER_LIMIT_EXCEEDED',
      domain: 'longhaul.dev',
      metadata: { limit, used: String(used), max: String(max) },
    };
    const retry = {
      '@type': 'type.googleapis.com/google.rpc.RetryInfo',
      retryDelay: `${this.retryAfterSeconds}s`,
    };
    this.details = [info, retry];
  }
}

/** Counts a refusal, and returns its error. */
export function refuse(owner: string, exceeded: Exceeded): QuotaExceededError {
  countOwnerRefusal(owner, exceeded.limit);
  return new QuotaExceededError(exceeded);
}

function getRetryAfter(limit: RequestLimit): number {
  if (limit === 'modelCostPerDay') return secondsToMidnight(databaseNow());
  return limit === 'webhookBytesPerHour' ? secondsToNextHour(databaseNow()) : retryAfter[limit];
}

function describe({ limit, used, max, wanted }: Exceeded): string {
  switch (limit) {
    case 'openTasks':
      return `You have ${used} open tasks, and your limit is ${max}: wait until one ends, or cancel one`;
    case 'storedBytes':
      return `Your tasks store ${used} bytes, this message has ${wanted}, and your limit is ${max}: there is room when ended tasks are removed`;
    case 'webhookConfigs':
      return `You have ${used} webhook configs, and your limit is ${max}: delete one`;
    case 'webhookBytesPerHour':
      return `Webhooks of ${used} bytes have been sent for you in this hour, and your limit is ${max}: try again in ${secondsToNextHour(databaseNow())} s`;
    case 'modelCostPerDay':
      return `Your tasks have cost ${used} since midnight UTC, and your limit per day is ${max}: try again in ${secondsToMidnight(databaseNow())} s`;
    case 'schedules':
      return `You have ${used} schedules, and your limit is ${max}: delete one`;
    default:
      return limit satisfies never;
  }
}
