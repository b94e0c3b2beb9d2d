/** Decides which deliveries are attempted again because their receiver is back (domain/outages/partner-returns.ts). */
import type { AttemptOutcome } from '#shared/db/webhooks/attempts/settle.ts';
import type { DeliveryKey } from '#shared/db/webhooks/attempts/forward.ts';
import { PartnerReturns } from '#shared/domain/outages/partner-returns.ts';

export interface EndedAttempt {
  receiver: string;
  delivery: DeliveryKey;
  /** By the clock of the ReceiverReturns. */
  startedAt: number;
  status: number | null;
  retryAfter: string | undefined;
  outcome: AttemptOutcome;
}

export class ReceiverReturns {
  readonly #returns: PartnerReturns<DeliveryKey>;

  /** @param now a monotonic clock in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#returns = new PartnerReturns(now);
  }

  /** Returns the deliveries to attempt now. Called when the attempt has been recorded. */
  ended(attempt: EndedAttempt): DeliveryKey[] {
    const { receiver, delivery, startedAt, outcome } = attempt;
    const { taskId, configId, seq } = delivery;
    const key = JSON.stringify([taskId, configId, seq]);
    if (wasAway(attempt)) {
      const isDue = this.#returns.failed(receiver, key, delivery, startedAt);
      return isDue ? [delivery] : [];
    }
    this.#returns.ended(receiver, key);
    return outcome.kind === 'delivered' ? this.#returns.answered(receiver) : [];
  }
}

/** Not if the receiver names a time: it is honoured. Tests are not repeated. */
function wasAway({ delivery, status, retryAfter, outcome }: EndedAttempt): boolean {
  if (delivery.seq < 0) return false;
  if (outcome.kind === 'deferred') return outcome.reason === 'receiver_failing';
  return outcome.kind === 'retry' && (status === null || status >= 500) && retryAfter === undefined;
}
