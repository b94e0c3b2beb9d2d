/**
 * Decides which attempts this process makes now (invariant 11). An attempt holds one slot at each level:
 *
 *   process   shared by owners: an owner gets at most half
 *   host      shared by owners, over all ports and paths of its receivers
 *   receiver  the URL without its query, for one owner at one host
 *
 * An attempt without a slot is deferred, which does not count as an attempt and releases the call of Cloud
 * Tasks. If the receiver is quick, it first waits up to a second for a slot of its host, and meanwhile holds
 * a slot of the process: the calls that one owner keeps open are bounded too.
 *
 * A delay is an estimate. When requests end quickly, each brings forward two deliveries to the same receiver that were
 * deferred because its host was busy, for example with requests that hung until it was back.
 */
import type { DeliveryKey } from '#shared/db/webhooks/forward.ts';
import type { DeferralReason } from '#shared/db/webhooks/settle.ts';
import { getDestination } from '#shared/net/destination.ts';
import { Health } from './health.ts';
import { Pace } from './pace.ts';
import { Registry } from '../registry.ts';
import { SharedSlots } from './shared-slots.ts';

/** Attempts wait for a slot only if the receiver is expected to respond within this time. */
const quickMs = 500;
const maxWaitMs = 1_000;
const forwardedAtOnce = 2;
/** Deferred deliveries that are remembered for each receiver. */
const maxDeferred = 1_000;
/** The first delay of an attempt at a receiver that keeps failing; up to twice this with jitter. */
const failingSeconds = 15;

export type AttemptSlot =
  /**
   * The caller must call `sent` when it sends the request, and `release` when the attempt ends. `up`: the receiver accepts
   * requests; undefined: nothing was sent to it, or the attempt does not count.
   */
  | { kind: 'acquired'; sent: () => void; release: (up: boolean | undefined) => void }
  | { kind: 'deferred'; delaySeconds: number; reason: DeferralReason };

export interface SchedulerOptions {
  /** Attempts in flight in this process; one owner gets at most half. */
  concurrency: number;
  /**
   * Attempts in flight at one receiver. An owner gets at most twice as many at one host, and all owners
   * together four times as many.
   */
  receiverConcurrency: number;
  /** A monotonic clock in milliseconds. Default: `performance.now`. */
  now?: () => number;
  /** A number from 0 to 1, for jitter. Default: `Math.random`. */
  chance?: () => number;
}

export interface AttemptRequest {
  delivery: DeliveryKey;
  owner: string;
  url: URL;
  /** Attempts at this delivery that failed before. */
  failures: number;
}

/** The receivers of one owner at one host. */
interface OwnedHost {
  slots: SharedSlots;
  pace: Pace;
}

interface Receiver {
  health: Health;
  pace: Pace;
  /** Deliveries that found no slot, by their keys, oldest first. */
  deferred: Map<string, DeliveryKey>;
}

/** Where an attempt takes its slots. */
interface Place {
  owner: string;
  ownerPace: Pace;
  host: { slots: SharedSlots; waiting: Set<Waiter> };
  owned: OwnedHost;
  receiverKey: string;
  receiver: Receiver;
}

interface Waiter {
  place: Place;
  /** Called when the waiter has got its slots. */
  enter: () => void;
}

export class AttemptScheduler {
  readonly #now: () => number;
  readonly #chance: () => number;
  readonly #process: SharedSlots;
  #due: DeliveryKey[] = [];
  readonly #owners = new Registry(
    () => new Pace(),
    (pace) => pace.inFlight === 0,
  );
  readonly #hosts: Registry<Place['host']>;
  readonly #ownedHosts: Registry<OwnedHost>;
  readonly #receivers = new Registry<Receiver>(
    () => ({ health: new Health(), pace: new Pace(), deferred: new Map() }),
    ({ pace }) => pace.inFlight === 0,
  );

  constructor({ concurrency, receiverConcurrency, now, chance }: SchedulerOptions) {
    this.#now = now ?? (() => performance.now());
    this.#chance = chance ?? Math.random;
    this.#process = new SharedSlots(concurrency);
    this.#hosts = new Registry(
      () => ({ slots: new SharedSlots(4 * receiverConcurrency), waiting: new Set() }),
      ({ slots, waiting }) => slots.used === 0 && waiting.size === 0,
    );
    this.#ownedHosts = new Registry(
      () => ({ slots: new SharedSlots(2 * receiverConcurrency), pace: new Pace() }),
      ({ slots }) => slots.used === 0,
    );
  }

  async acquire(request: AttemptRequest): Promise<AttemptSlot> {
    const place = this.#find(request);
    const { owner, ownerPace, owned, receiver } = place;
    const { taskId, configId, seq } = request.delivery;
    const key = JSON.stringify([taskId, configId, seq]);
    receiver.deferred.delete(key);
    if (!receiver.health.mayAttempt(this.#now(), receiver.pace.inFlight, request.failures)) {
      const delaySeconds = failingSeconds * (1 + this.#chance());
      return { kind: 'deferred', delaySeconds, reason: 'receiver_failing' };
    }
    if (!this.#process.mayTake(owner)) return this.#defer(ownerPace, 'owner_busy');
    this.#process.take(owner);
    if (mayEnter(place)) takeSlots(place);
    else if (receiver.pace.expectedMs(this.#now()) > quickMs || !(await waitForSlots(place))) {
      this.#process.release(owner);
      if (receiver.deferred.size < maxDeferred) receiver.deferred.set(key, { taskId, configId, seq });
      return this.#defer(owned.pace, 'host_busy');
    }
    return this.#start(place);
  }

  /** Returns the deferred deliveries to attempt now, once. */
  takeDue(): DeliveryKey[] {
    return this.#due.splice(0);
  }

  #start(place: Place): AttemptSlot {
    const { owner, ownerPace, host, owned, receiverKey, receiver } = place;
    receiver.health.started(this.#now());
    const paced = [ownerPace, owned.pace, receiver.pace].map((pace) => pace.start());
    return {
      kind: 'acquired',
      sent: () => {
        const at = this.#now();
        for (const attempt of paced) attempt.sent(at);
      },
      release: (up) => {
        if (up !== undefined) receiver.health.ended(up);
        const endedAt = up === undefined ? undefined : this.#now();
        for (const attempt of paced) attempt.end(endedAt);
        this.#process.release(owner);
        host.slots.release(owner);
        owned.slots.release(receiverKey);
        admitWaiters(host.waiting);
        if (up === true) this.#forward(place);
      },
    };
  }

  #forward(place: Place): void {
    const { receiver } = place;
    if (!mayEnter(place) || receiver.pace.expectedMs(this.#now()) > quickMs) return;
    for (const [key, delivery] of [...receiver.deferred].slice(0, forwardedAtOnce)) {
      receiver.deferred.delete(key);
      this.#due.push(delivery);
    }
  }

  #defer(pace: Pace, reason: DeferralReason): AttemptSlot {
    return { kind: 'deferred', delaySeconds: pace.defer(this.#now(), this.#chance()), reason };
  }

  #find({ owner, url }: AttemptRequest): Place {
    const hostKey = getDestination(url);
    const receiverKey = getReceiver(owner, url);
    return {
      owner,
      ownerPace: this.#owners.get(owner),
      host: this.#hosts.get(hostKey),
      owned: this.#ownedHosts.get(JSON.stringify([owner, hostKey])),
      receiverKey,
      receiver: this.#receivers.get(receiverKey),
    };
  }
}

/** Returns the name of the receiver at a URL, for one owner. */
export function getReceiver(owner: string, { origin, pathname }: URL): string {
  return JSON.stringify([owner, origin, pathname]);
}

function mayEnter({ owner, host, owned, receiverKey }: Place): boolean {
  return host.slots.mayTake(owner) && owned.slots.mayTake(receiverKey);
}

function takeSlots({ owner, host, owned, receiverKey }: Place): void {
  host.slots.take(owner);
  owned.slots.take(receiverKey);
}

/** Resolves to whether the slots were taken; false after a second. */
async function waitForSlots(place: Place): Promise<boolean> {
  return new Promise((resolve) => {
    const waiter: Waiter = {
      place,
      enter: () => {
        clearTimeout(timer);
        resolve(true);
      },
    };
    const timer = setTimeout(() => {
      place.host.waiting.delete(waiter);
      resolve(false);
    }, maxWaitMs);
    place.host.waiting.add(waiter);
  });
}

/** Gives free slots to waiters, first to those whose owners and receivers hold the fewest. */
function admitWaiters(waiting: Set<Waiter>): void {
  for (;;) {
    let first: Waiter | undefined;
    for (const waiter of waiting) {
      if (mayEnter(waiter.place) && (first === undefined || holdsFewer(waiter.place, first.place))) {
        first = waiter;
      }
    }
    if (first === undefined) return;
    waiting.delete(first);
    takeSlots(first.place);
    first.enter();
  }
}

function holdsFewer(a: Place, b: Place): boolean {
  const byOwner = a.host.slots.held(a.owner) - b.host.slots.held(b.owner);
  if (byOwner !== 0) return byOwner < 0;
  return a.owned.slots.held(a.receiverKey) < b.owned.slots.held(b.receiverKey);
}
