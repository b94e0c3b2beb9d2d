/**
 * Bounds the bytes that this process sends to hosts that do not accept webhooks: the service must not be an
 * amplifier for a caller who names a host that is not its own. After a few full bodies, such a host gets small ones
 * until it accepts one. An owner who names many hosts has an allowance for all of them together.
 *
 *   new ──2xx──▶ accepting ──failures of more bytes than the allowance──▶ refusing ──2xx──▶ accepting
 *    └──────────bytes in flight or failed beyond the allowance──────────────▲
 */
import { getDestination } from '#shared/net/destination.ts';
import { Registry } from '../registry.ts';

const hourMs = 3_600_000;

interface Host {
  /** Its last receiver accepted a webhook, or has since refused fewer bytes than the allowance. */
  accepting: boolean;
  unaccepted: Allowance;
}

/** Bytes that drain within an hour. */
class Allowance {
  readonly #perHour: number;
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
      (allowance) => allowance.get(this.#now()) === 0,
    );
    this.#hosts = new Registry<Host>(
      () => ({ accepting: false, unaccepted: new Allowance(hostBytesPerHour) }),
      () => true,
    );
  }

  /** Returns whether a receiver may get a full body. */
  maySendFull(owner: string, url: URL): boolean {
    const { accepting, unaccepted } = this.#findHost(owner, url);
    const now = this.#now();
    return accepting || (!unaccepted.isUsedUp(now) && !this.#owners.get(owner).isUsedUp(now));
  }

  /** Counts a body that is sent. The caller calls the returned function with the result. */
  send(owner: string, url: URL, bytes: number): (accepted: boolean) => void {
    const host = this.#findHost(owner, url);
    const allowance = this.#owners.get(owner);
    const count = (): void => {
      host.unaccepted.add(this.#now(), bytes);
      allowance.add(this.#now(), bytes);
    };
    // A host that accepts webhooks may have many in flight.
    const counted = !host.accepting;
    if (counted) count();
    return (accepted) => {
      const now = this.#now();
      if (accepted) {
        allowance.add(now, -host.unaccepted.get(now));
        host.unaccepted.add(now, -Infinity);
        host.accepting = true;
      } else if (!counted) {
        count();
        if (host.unaccepted.isUsedUp(now)) host.accepting = false;
      }
    };
  }

  #findHost(owner: string, url: URL): Host {
    return this.#hosts.get(JSON.stringify([owner, getDestination(url)]));
  }
}
