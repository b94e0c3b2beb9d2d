/**
 * The errors that cross module boundaries. Each protocol binding maps them to its wire form in one file. The
 * class of an error, never its text, decides whether a failure is retried.
 */

/** The turn no longer belongs to this worker: canceled, taken over, or its lease expired (invariant 3). */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/** The turn cannot succeed, however often it runs. The task fails with this message, which clients see. */
export class FatalError extends Error {
  override readonly name = 'FatalError';
}

/**
 * A partner of the turn failed: a model, a tool, a server. The turn is retried until `limits.outageSeconds`, without
 * counting as an attempt. Clients see the message and not the cause.
 */
export class RetryableError extends Error {
  override readonly name = 'RetryableError';
}

/**
 * The keys of stored contents cannot be reached now (crypto/content-cipher.ts). Everything that reads or stores contents is
 * retried, as if the database did not answer.
 */
export class MasterKeyError extends Error {
  override readonly name = 'MasterKeyError';
}

/**
 * A resource that the turn needs is temporarily unavailable (quota, overload). The task waits until `until`,
 * without holding a worker or counting as an attempt.
 */
export class ParkedError extends Error {
  override readonly name: string = 'ParkedError';
  readonly until: Date;
  constructor(message: string, until: Date, options?: ErrorOptions) {
    super(message, options);
    this.until = until;
  }
}

/** The owner of the task has reached a limit. Clients see the message as the status of the waiting task. */
export class OwnerLimitError extends ParkedError {
  override readonly name = 'OwnerLimitError';
}
