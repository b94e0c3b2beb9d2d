/** Requests for attempts, and the slots that they get. */
import type { DeliveryKey } from '#shared/db/webhooks/attempts/forward.ts';
import type { DeferralReason } from '#shared/db/webhooks/attempts/settle.ts';
import type { Receiver } from './receiver.ts';

export interface AttemptRequest {
  delivery: DeliveryKey;
  receiver: Receiver;
  /** Attempts at this delivery that failed before. */
  failures: number;
  /** From `enter`. */
  processSlot: ProcessSlot | undefined;
}

export type AttemptSlot =
  /**
   * The caller must call `sent` when it sends the request, and `release` when the attempt ends. `up`: the receiver accepts
   * requests; undefined: nothing was sent to it, or the attempt does not count.
   */
  | { kind: 'acquired'; sent: () => void; release: (up: boolean | undefined) => void }
  | { kind: 'deferred'; delaySeconds: number; reason: DeferralReason };

/** A slot of the process, for the attempts of one queue. */
export interface ProcessSlot {
  /** Whether the owner still has its share of the process if this slot is kept. */
  mayKeep(): boolean;
  /** Called once, when the last attempt is recorded. */
  release(): void;
}
