/** The limits of one owner, over all its tenants: callers choose tenants freely. 0 means no limit. */
export interface OwnerLimits {
  /** Turns that run at the same time, on all workers together. Further turns wait. */
  concurrentTurns: number;
  /** Tasks that have not ended. */
  openTasks: number;
  /** Bytes of stored tasks: messages, events, artifacts, steps and files. */
  storedBytes: number;
  /** Webhook configs of all stored tasks. */
  webhookConfigs: number;
  /** Bytes of webhook bodies that are sent in an hour, including repeated attempts. */
  webhookBytesPerHour: number;
  /** Cost of model calls since midnight UTC, in the currency of the price list. */
  modelCostPerDay: number;
  /** Schedules, paused ones too. */
  schedules: number;
}

export type OwnerLimit = keyof OwnerLimits;

export const ownerLimitNames = [
  'openTasks',
  'concurrentTurns',
  'storedBytes',
  'webhookConfigs',
  'webhookBytesPerHour',
  'modelCostPerDay',
  'schedules',
] as const satisfies readonly OwnerLimit[];

/** Returns the seconds from `now` (milliseconds since 1970) to the next midnight UTC, when the cost of a day starts again at 0. */
export function secondsToMidnight(now: number): number {
  const dayMs = 86_400_000;
  return Math.ceil((dayMs - (now % dayMs)) / 1000);
}
