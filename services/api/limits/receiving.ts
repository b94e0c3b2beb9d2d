/**
 * Limits the requests that are being received: admitted, but without their whole body or message. Their
 * senders decide how long that takes, up to a deadline, and until then their bytes are in memory.
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
      const refused = exceeds(own, this.#limits.perCaller) || exceeds(this.#all, this.#limits.all);
      if (!refused) return;
      close();
      countRefusal('receiving');
      const { requests, bytes } = this.#limits.perCaller;
      throw new TooManyRequestsError(
        `Too many requests are being received: a caller may send ${requests} requests with ${bytes} bytes at once. Try again in ${retryAfterSeconds} s.`,
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
}

function exceeds(load: Load, limit: Readonly<Load>): boolean {
  return load.requests > limit.requests || load.bytes > limit.bytes;
}
