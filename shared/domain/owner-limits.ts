/** The limits of one owner, over all its tenants: callers choose tenants freely. 0 means no limit. */
export interface OwnerLimits {
  /** Turns that run at the same time, on all workers together. Further turns wait. */
  concurrentTurns: number;
  /** Tasks that have not ended. */
  openTasks: number;
  /** Bytes of stored tasks: messages, events, artifacts, steps and files. */
  storedBytes: number;
  webhookConfigs: number;
  /** Bytes of webhook bodies that are sent in an hour, including repeated attempts. */
  webhookBytesPerHour: number;
  /** Cost of model calls since midnight UTC, in the currency of the price list. */
  modelCostPerDay: number;
}
