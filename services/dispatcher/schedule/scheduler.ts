/**
 * Decides which attempts this process makes now (invariant 11). An attempt holds one slot at each level:
 *
 *   process   shared by owners: an owner gets at most half
 *   host      shared by owners, over all ports and paths of its receivers
 *   receiver  the URL without its query, for one owner at one host
 *
 * The slots of hosts and receivers adapt to how the host answers (window.ts). A queue of deliveries keeps its slot of the
 * process from one attempt to the next: if others took it while an attempt is recorded, the next one would be claimed in
 * vain, and deferred.
 *
 * An attempt without a slot is deferred, which does not count as an attempt and releases the call of Cloud
 * Tasks. If slots are expected soon, it first waits: a queue up to four seconds for a slot of the process, and an attempt up to
 * a second for one of its host. Both are shorter if the margin of the lease is, because the delivery is claimed already.
 * Nothing waits while the process shuts down: requests that start then may not end in time.
 *
 * A delay is an estimate. When requests end quickly, each brings forward two deliveries to the same receiver that were
 * deferred because its host was busy, for example with requests that hung until it was back.
 */
import type { DeliveryKey } from '#shared/db/webhooks/attempts/forward.ts';
import type { DeferralReason } from '#shared/db/webhooks/attempts/settle.ts';
import type { AttemptRequest, AttemptSlot, ProcessSlot } from './attempt-slot.ts';
import { Entrants } from './entrants.ts';
import { Health } from './health.ts';
import { Pace } from './pace.ts';
import {
  mayEnter,
  releaseSlots,
  takeSlots,
  waitForSlots,
  type Host,
  type OwnedHost,
  type Place,
  type ReceiverState,
} from './places.ts';
import type { Receiver } from './receiver.ts';
import { Registry } from '../registry.ts';
import { SharedSlots } from './shared-slots.ts';
import { AttemptWindow } from './window.ts';

/** The wait for a slot of the process and then for one of the host, together. */
const maxWaitMs = 5_000;
/** The share of waits in the margin of a lease; the rest is for reading the event, and for the record. */
const waitShare = 1 / 3;
/** The part of that time for the host. */
const hostWaitShare = 1 / 5;
/** Queues wait for a slot of the process only if one is expected within this time. */
const quickEntryMs = 1_000;
/** Attempts wait for a slot of the host only if one is expected within this time. */
const quickWaitMs = 250;
/** Deferred deliveries are brought forward while the receiver responds within this time. */
const quickMs = 500;
const forwardedAtOnce = 2;
/** Deferred deliveries that are remembered for each receiver. */
const maxDeferred = 1_000;
/** Room for less than this share of the attempts counts as none. */
const roomShare = 0.05;
/** The first delay of an attempt at a receiver that keeps failing; up to twice this with jitter. */
const failingSeconds = 15;

export interface SchedulerOptions {
  /** Queues of which this process makes attempts; one owner gets at most half. */
  concurrency: number;
  /**
   * The least number of attempts in flight that one receiver gets. An owner gets at most twice as many at one host, and all
   * owners together four times as many.
   */
  receiverConcurrency: number;
  /** The largest number, while the host answers quickly. */
  maxReceiverConcurrency: number;
  /** How much longer the lease of an attempt lasts than its request. */
  leaseMarginSeconds: number;
  /** Aborted when the process shuts down: attempts that wait for a slot are deferred. */
  stopping: AbortSignal;
  /** A monotonic clock in milliseconds. Default: `performance.now`. */
  now?: () => number;
  /** A number from 0 to 1, for jitter. Default: `Math.random`. */
  chance?: () => number;
}

export class AttemptScheduler {
  readonly #now: () => number;
  readonly #chance: () => number;
  readonly #process: SharedSlots;
  readonly #entrants = new Entrants();
  #due: DeliveryKey[] = [];
  readonly #owners = new Registry(
    () => new Pace(),
    (pace) => pace.inFlight === 0,
  );
  readonly #hosts: Registry<Host>;
  readonly #ownedHosts: Registry<OwnedHost>;
  readonly #receivers = new Registry<ReceiverState>(
    () => ({ health: new Health(), pace: new Pace(), deferred: new Map() }),
    ({ pace }) => pace.inFlight === 0,
  );

  readonly #maxEntryMs: number;
  readonly #maxHostWaitMs: number;
  readonly #stopping: AbortSignal;
  readonly #floor: number;
  readonly #minRoom: number;
  #onRoom: () => void = () => undefined;

  constructor(options: SchedulerOptions) {
    const { concurrency, receiverConcurrency, maxReceiverConcurrency, now, chance } = options;
    const waitMs = Math.min(maxWaitMs, options.leaseMarginSeconds * 1000 * waitShare);
    this.#maxHostWaitMs = waitMs * hostWaitShare;
    this.#maxEntryMs = waitMs - this.#maxHostWaitMs;
    this.#stopping = options.stopping;
    this.#stopping.addEventListener('abort', () => this.#entrants.dismiss(), { once: true });
    this.#floor = receiverConcurrency;
    this.#minRoom = Math.ceil(concurrency * roomShare);
    this.#now = now ?? (() => performance.now());
    this.#chance = chance ?? Math.random;
    this.#process = new SharedSlots(concurrency);
    this.#hosts = new Registry(
      () => ({
        slots: new SharedSlots(4 * receiverConcurrency),
        waiting: new Map(),
        sizes: new Map(),
      }),
      ({ slots, waiting }) => slots.used === 0 && waiting.size === 0,
    );
    this.#ownedHosts = new Registry(
      () => ({
        slots: new SharedSlots(2 * receiverConcurrency),
        pace: new Pace(),
        window: new AttemptWindow({ floor: receiverConcurrency, ceiling: maxReceiverConcurrency }),
      }),
      ({ slots }) => slots.used === 0,
    );
  }

  /** Returns undefined if the owner has its share of the process. */
  enter(owner: string): ProcessSlot | undefined {
    if (!this.#process.mayTake(owner)) return undefined;
    this.#process.take(owner);
    return this.#toProcessSlot(owner);
  }

  /**
   * Waits up to four seconds for a slot, if one is expected within a second. No more queues of an owner wait than can have
   * slots: each may keep a call of Cloud Tasks open.
   *
   * @returns undefined if there was none: the attempt is deferred
   */
  async waitToEnter(owner: string): Promise<ProcessSlot | undefined> {
    if (this.#stopping.aborted) return undefined;
    const waiting = this.#entrants.count(owner);
    const pace = this.#owners.get(owner);
    if (waiting >= this.#process.capacity / 2 || !pace.isKnown) return undefined;
    if (pace.expectedWaitMs(this.#now(), waiting) > Math.min(quickEntryMs, this.#maxEntryMs))
      return undefined;
    if (!(await this.#entrants.wait(owner, this.#maxEntryMs))) return undefined;
    const slot = this.#toProcessSlot(owner);
    if (!this.#stopping.aborted) return slot;
    slot.release();
    return undefined;
  }

  #toProcessSlot(owner: string): ProcessSlot {
    return {
      // It would get the slot again if it released it.
      mayKeep: () => this.#process.getRoom(owner) + 2 > 0,
      release: () => {
        this.#process.release(owner);
        this.#entrants.admit(this.#process);
        this.#onRoom();
      },
    };
  }

  async acquire(request: AttemptRequest): Promise<AttemptSlot> {
    const place = this.#find(request.receiver);
    const { ownerPace, owned, receiver } = place;
    const { taskId, configId, seq } = request.delivery;
    const key = JSON.stringify([taskId, configId, seq]);
    receiver.deferred.delete(key);
    if (!receiver.health.mayAttempt(this.#now(), receiver.pace.inFlight, request.failures)) {
      const delaySeconds = failingSeconds * (1 + this.#chance());
      return { kind: 'deferred', delaySeconds, reason: 'receiver_failing' };
    }
    if (request.processSlot === undefined) return this.#defer(ownerPace, 'owner_busy');
    if (mayEnter(place)) takeSlots(place);
    else if (!(await this.#waitForSlots(place))) {
      if (receiver.deferred.size < maxDeferred) receiver.deferred.set(key, { taskId, configId, seq });
      return this.#defer(owned.pace, 'host_busy');
    }
    return this.#start(place);
  }

  /**
   * Returns the owners that have no room for further attempts, and how many find a slot of the process even if they all
   * belong to one of the others. While the room is small it counts as none, so that deliveries are claimed in sets.
   */
  getRoom(): { attempts: number; busyOwners: string[] } {
    const { busy, slots } = this.#process.survey(this.#minRoom);
    return { attempts: this.hasRoom() ? slots : 0, busyOwners: busy };
  }

  /** @param owner undefined: any owner that has no attempt in flight */
  hasRoom(owner?: string): boolean {
    const free = this.#process.capacity - this.#process.used;
    return Math.min(free, owner === undefined ? free : this.#process.getRoom(owner)) >= this.#minRoom;
  }

  /** Calls the listener when a slot of the process is free again. */
  onRoom(listener: () => void): void {
    this.#onRoom = listener;
  }

  /** Returns the deferred deliveries to attempt now, once. */
  takeDue(): DeliveryKey[] {
    return this.#due.splice(0);
  }

  #start(place: Place): AttemptSlot {
    const { ownerPace, owned, receiverKey, receiver } = place;
    receiver.health.started(this.#now());
    const paced = [ownerPace, owned.pace, receiver.pace].map((pace) => pace.start());
    const inFlight = owned.slots.held(receiverKey);
    let sentAt: number | undefined;
    return {
      kind: 'acquired',
      sent: () => {
        sentAt = this.#now();
        for (const attempt of paced) attempt.sent(sentAt);
      },
      release: (up) => {
        const endedAt = up === undefined ? undefined : this.#now();
        if (up !== undefined) receiver.health.ended(up);
        if (up !== undefined && endedAt !== undefined && sentAt !== undefined) {
          owned.window.ended({ sentAt, endedAt, up, inFlight });
          this.#resize(place);
        }
        for (const attempt of paced) attempt.end(endedAt);
        releaseSlots(place);
        if (up === true) this.#forward(place);
      },
    };
  }

  async #waitForSlots(place: Place): Promise<boolean> {
    if (this.#stopping.aborted) return false;
    if (this.#expectedWaitMs(place) > Math.min(quickWaitMs, this.#maxHostWaitMs)) return false;
    if (!(await waitForSlots(place, this.#maxHostWaitMs))) return false;
    if (!this.#stopping.aborted) return true;
    releaseSlots(place);
    return false;
  }

  #expectedWaitMs({ host, receiver, receiverKey }: Place): number {
    return receiver.pace.expectedWaitMs(this.#now(), host.waiting.get(receiverKey)?.size ?? 0);
  }

  /** Gives an owner at a host twice its window, and all owners there four times the largest. */
  #resize({ owner, host, owned }: Place): void {
    const { size } = owned.window;
    if (owned.slots.capacity === 2 * size) return;
    owned.slots.capacity = 2 * size;
    if (size > this.#floor) host.sizes.set(owner, size);
    else host.sizes.delete(owner);
    host.slots.capacity = 4 * Math.max(this.#floor, ...host.sizes.values());
  }

  #forward(place: Place): void {
    const { receiver } = place;
    if (!mayEnter(place) || receiver.pace.expectedMs(this.#now()) > quickMs) return;
    let left = forwardedAtOnce;
    for (const [key, delivery] of receiver.deferred) {
      if (left-- === 0) return;
      receiver.deferred.delete(key);
      this.#due.push(delivery);
    }
  }

  #defer(pace: Pace, reason: DeferralReason): AttemptSlot {
    return { kind: 'deferred', delaySeconds: pace.defer(this.#now(), this.#chance()), reason };
  }

  #find({ owner, host, ownedHost, key }: Receiver): Place {
    return {
      owner,
      ownerPace: this.#owners.get(owner),
      host: this.#hosts.get(host),
      owned: this.#ownedHosts.get(ownedHost),
      receiverKey: key,
      receiver: this.#receivers.get(key),
    };
  }
}
