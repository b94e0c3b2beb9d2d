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

/** The loads of all callers together and of each. */
interface Loads {
  readonly limits: ReceivingLimits;
  readonly all: Load;
  readonly callers: Map<string, Load>;
}

export class Receiving {
  readonly #loads: Loads;

  constructor(limits: ReceivingLimits = defaultLimits) {
    this.#loads = { limits, all: { requests: 0, bytes: 0 }, callers: new Map() };
  }

  /**
   * @param name of the caller, or of its address
   * @param bytes the length of the body, if it is known
   * @throws {TooManyRequestsError} if the caller or all callers have too many requests or bytes in receipt
   */
  open(name: string, bytes = 0): Receipt {
    return new OpenReceipt(this.#loads, name, bytes);
  }
}

/** A class, because every request with a body needs one: closures would take more memory. */
class OpenReceipt implements Receipt {
  readonly #loads: Loads;
  readonly #name: string;
  readonly #own: Load;
  #requests = 0;
  #bytes = 0;

  constructor(loads: Loads, name: string, bytes: number) {
    this.#loads = loads;
    this.#name = name;
    this.#own = loads.callers.get(name) ?? { requests: 0, bytes: 0 };
    if (this.#own.requests === 0) loads.callers.set(name, this.#own);
    this.#count(1, bytes);
    this.#check();
  }

  add(bytes: number): void {
    if (this.#requests === 0) return;
    this.#count(0, bytes);
    this.#check();
  }

  close(): void {
    if (this.#requests === 0) return;
    this.#count(-this.#requests, -this.#bytes);
    if (this.#own.requests === 0) this.#loads.callers.delete(this.#name);
  }

  #count(requests: number, bytes: number): void {
    this.#requests += requests;
    this.#bytes += bytes;
    const { all } = this.#loads;
    this.#own.requests += requests;
    this.#own.bytes += bytes;
    all.requests += requests;
    all.bytes += bytes;
  }

  #check(): void {
    const { limits, all: received } = this.#loads;
    const { all, perCaller } = limits;
    const own = this.#own;
    const freeRequests = all.requests - received.requests;
    const freeBytes = all.bytes - received.bytes;
    const isOver = own.requests > perCaller.requests || own.bytes > perCaller.bytes;
    const isFull = freeRequests < 0 || freeBytes < 0;
    const hasMore = own.requests > 1 && (own.requests > freeRequests || own.bytes > freeBytes);
    if (!isOver && !isFull && !hasMore) return;
    this.close();
    countRefusal('receiving', this.#name);
    const limit = isOver
      ? `: a caller may send ${perCaller.requests} requests with ${perCaller.bytes} bytes at once`
      : '';
    throw new TooManyRequestsError(
      `Too many requests are being received${limit}. Try again in ${retryAfterSeconds} s.`,
      retryAfterSeconds,
    );
  }
}
