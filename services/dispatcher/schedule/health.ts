/**
 * The health of one receiver, for one owner.
 *
 *   open ──10 failures in a row──▶ probing ──a success──▶ open
 *
 * A probing receiver gets one attempt at a time, and at most one a second. Other attempts are deferred, except
 * at a delivery that has failed three times: such deliveries are rare, and the schedule of each config must
 * continue and end.
 */

const failuresBeforeProbing = 10;
const probeIntervalMs = 1_000;
const failuresOfOldDelivery = 3;

export class Health {
  #failures = 0;
  #startedAt = -Infinity;

  /**
   * @param inFlight attempts at the receiver
   * @param deliveryFailures attempts at this delivery that failed before
   */
  mayAttempt(now: number, inFlight: number, deliveryFailures: number): boolean {
    if (this.#failures < failuresBeforeProbing || deliveryFailures >= failuresOfOldDelivery) return true;
    return inFlight === 0 && now - this.#startedAt >= probeIntervalMs;
  }

  started(now: number): void {
    this.#startedAt = now;
  }

  /** @param up the receiver accepts requests, even if it refused this one */
  ended(up: boolean): void {
    this.#failures = up ? 0 : this.#failures + 1;
  }
}
