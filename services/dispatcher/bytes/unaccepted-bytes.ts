/**
 * Bounds the bytes that this process sends to hosts that do not accept webhooks: the service must not be an
 * amplifier for a caller who names a host that is not its own. After a few full bodies, such a host gets small ones
 * until it accepts one. An owner who names many hosts has an allowance for all of them together.
 *
 *   new ──2xx──▶ accepting ──failures of more bytes than the allowance──▶ refusing ──2xx──▶ accepting
 *    └───────────────failures of more bytes than the allowance──────────────▲
 *
 * Bytes in flight may still fail, so further full bodies wait for them until the host accepts one.
 */
import type { Receiver } from '../schedule/receiver.ts';
import { Registry } from '../registry.ts';

const hourMs = 3_600_000;

interface Host {
  /** Its last receiver accepted a webhook, or has since refused fewer bytes than the allowance. */
  accepting: boolean;
  unaccepted: Allowance;
}

/** `later`: when fewer bytes are in flight. */
export type BodySize = 'full' | 'thin' | 'later';

/** Failed bytes drain within an hour. */
class Allowance {
  readonly #perHour: number;
  /** Sent to hosts that have accepted none, without a result yet. */
  inFlight = 0;
  #bytes = 0;
  #at = 0;

  constructor(perHour: number) {
    this.#perHour = perHour;
  }

  get(now: number): number {
    this.#bytes = Math.max(0, this.#bytes - ((now - this.#at) / hourMs) * this.#perHour);
    this.#at = now;
    return this.#bytes;
  }

  isUsedUp(now: number): boolean {
    return this.get(now) >= this.#perHour;
  }

  /** Whether it would be used up if everything in flight failed. */
  isReserved(now: number): boolean {
    return this.get(now) + this.inFlight >= this.#perHour;
  }

  add(now: number, bytes: number): void {
    this.#bytes = Math.max(0, this.get(now) + bytes);
  }
}

export interface UnacceptedBytesOptions {
  /** For one owner, at one host. */
  hostBytesPerHour: number;
  /** For one owner, at all hosts. */
  ownerBytesPerHour: number;
  /** A monotonic clock in milliseconds. Default: `performance.now`. */
  now?: () => number;
}

export class UnacceptedBytes {
  readonly #now: () => number;
  readonly #owners: Registry<Allowance>;
  readonly #hosts: Registry<Host>;

  constructor({ hostBytesPerHour, ownerBytesPerHour, now }: UnacceptedBytesOptions) {
    this.#now = now ?? (() => performance.now());
    this.#owners = new Registry(
      () => new Allowance(ownerBytesPerHour),
      (allowance) => allowance.inFlight === 0 && allowance.get(this.#now()) === 0,
    );
    this.#hosts = new Registry<Host>(
      () => ({ accepting: false, unaccepted: new Allowance(hostBytesPerHour) }),
      () => true,
    );
  }

  /** Returns what a receiver may get now. */
  getSize({ owner, ownedHost }: Receiver): BodySize {
    const { accepting, unaccepted } = this.#hosts.get(ownedHost);
    if (accepting) return 'full';
    const now = this.#now();
    const allowances = [unaccepted, this.#owners.get(owner)];
    if (allowances.some((allowance) => allowance.isUsedUp(now))) return 'thin';
    return allowances.some((allowance) => allowance.isReserved(now)) ? 'later' : 'full';
  }

  /** Counts a body that is sent. The caller calls the returned function with the result. */
  send({ owner, ownedHost }: Receiver, bytes: number): (accepted: boolean) => void {
    const host = this.#hosts.get(ownedHost);
    const owned = this.#owners.get(owner);
    const allowances = [host.unaccepted, owned];
    // A host that accepts webhooks may have many in flight.
    const inFlight = host.accepting ? 0 : bytes;
    for (const allowance of allowances) allowance.inFlight += inFlight;
    return (accepted) => {
      const now = this.#now();
      for (const allowance of allowances) allowance.inFlight -= inFlight;
      if (accepted) {
        owned.add(now, -host.unaccepted.get(now));
        host.unaccepted.add(now, -Infinity);
        host.accepting = true;
        return;
      }
      for (const allowance of allowances) allowance.add(now, bytes);
      if (host.unaccepted.isUsedUp(now)) host.accepting = false;
    };
  }
}
