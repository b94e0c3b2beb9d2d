/**
 * The errors that the parts of the system understand of one another. Each binding maps them to its wire form in one
 * file; whether a failure is worth another attempt is told by the class, never by the text.
 */

/** The turn no longer belongs to this worker: it was cancelled, taken over, or its lease ran out (invariant 3). */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

/** The turn cannot succeed however often it runs; the task fails with this message, which clients see. */
export class FatalError extends Error {
  override readonly name = 'FatalError';
}

/** The turn failed, and may succeed when it is tried again: the attempt counts. */
export class RetryableError extends Error {
  override readonly name = 'RetryableError';
}

/**
 * Something the turn needs is short for now (quota, overload). The task waits until `until`, holding no worker, and
 * no attempt is spent.
 */
export class ParkedError extends Error {
  override readonly name = 'ParkedError';
  readonly until: Date;
  constructor(message: string, until: Date, options?: ErrorOptions) {
    super(message, options);
    this.until = until;
  }
}
