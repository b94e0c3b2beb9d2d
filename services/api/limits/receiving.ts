/**
 * Limits the requests that are being received: admitted, but without their whole body or message. Their
 * senders decide how long that takes, up to a deadline, and until then their bytes are in memory.
 *
 * Callers share what a process receives by dynamic thresholds (Choudhury and Hahne, 1998): a caller may have
 * another request while it holds no more than is free, in requests and in bytes. One caller alone gets half,
 * and the only request of a caller finds room while there is any.
 */
import { TooManyRequestsError } from '../handler/errors.ts';
import { countRefusal } from './refusals.ts';

/** Requests and bytes that have been received in part. */
interface Load {
  requests: number;
  bytes: number;
}

export interface ReceivingLimits {
  all: Readonly<Load>;
  perCaller: Readonly<Load>;
}

/** Two requests of the largest size that can be configured fit. */
const defaultLimits: ReceivingLimits = {
  all: { requests: 2_000, bytes: 128 * 1024 * 1024 },
  perCaller: { requests: 1_000, bytes: 64 * 1024 * 1024 },
};

const retryAfterSeconds = 1;

/** One request that is being received. */
export interface Receipt {
  /** @throws {TooManyRequestsError} if the bytes exceed a limit */
  add(bytes: number): void;
  /** Ends the receipt: the request is complete or has been given up. Repeating it does nothing. */
  close(): void;
}

export class Receiving {
  readonly #limits: ReceivingLimits;
  readonly #all: Load = { requests: 0, bytes: 0 };
  readonly #callers = new Map<string, Load>();

  constructor(limits: ReceivingLimits = defaultLimits) {
    this.#limits = limits;
  }

  /**
   * @param name of the caller, or of its address
   * @throws {TooManyRequestsError} if the caller or all callers have too many requests in receipt
   */
  open(name: string): Receipt {
    const own = this.#callers.get(name) ?? { requests: 0, bytes: 0 };
    const mine: Load = { requests: 0, bytes: 0 };
    const add = (more: Load): void => {
      for (const load of [mine, own, this.#all]) {
        load.requests += more.requests;
        load.bytes += more.bytes;
      }
    };
    const close = (): void => {
      if (mine.requests === 0) return;
      add({ requests: -mine.requests, bytes: -mine.bytes });
      if (own.requests === 0) this.#callers.delete(name);
    };
    const check = (): void => {
      const refusal = this.#getRefusal(own);
      if (refusal === undefined) return;
      close();
      countRefusal('receiving');
      throw new TooManyRequestsError(
        `Too many requests are being received${refusal}. Try again in ${retryAfterSeconds} s.`,
        retryAfterSeconds,
      );
    };
    this.#callers.set(name, own);
    add({ requests: 1, bytes: 0 });
    check();
    return {
      add: (bytes) => {
        if (mine.requests === 0) return;
        add({ requests: 0, bytes });
        check();
      },
      close,
    };
  }

  /** Returns what to add to the message if the caller has more than it may have. */
  #getRefusal(own: Load): string | undefined {
    const { all, perCaller } = this.#limits;
    if (exceeds(own, perCaller)) {
      return `: a caller may send ${perCaller.requests} requests with ${perCaller.bytes} bytes at once`;
    }
    const free = { requests: all.requests - this.#all.requests, bytes: all.bytes - this.#all.bytes };
    const isFull = free.requests < 0 || free.bytes < 0;
    return isFull || (own.requests > 1 && exceeds(own, free)) ? '' : undefined;
  }
}

function exceeds(load: Load, limit: Readonly<Load>): boolean {
  return load.requests > limit.requests || load.bytes > limit.bytes;
}
