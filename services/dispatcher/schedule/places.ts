/** Where attempts take their slots, and wait for them: hosts, shared by owners, and the receivers of each owner there. */
import type { DeliveryKey } from '#shared/db/webhooks/attempts/forward.ts';
import type { Health } from './health.ts';
import type { Pace } from './pace.ts';
import type { SharedSlots } from './shared-slots.ts';
import type { AttemptWindow } from './window.ts';

/** The receivers of one owner at one host. */
export interface OwnedHost {
  slots: SharedSlots;
  pace: Pace;
  window: AttemptWindow;
}

export interface Host {
  slots: SharedSlots;
  /** By receiver, in the order of their arrival. */
  waiting: Map<string, Set<Waiter>>;
  /** By owner: windows that are larger than the floor. */
  sizes: Map<string, number>;
}

export interface ReceiverState {
  health: Health;
  pace: Pace;
  /** Deliveries that found no slot, by their keys, oldest first. */
  deferred: Map<string, DeliveryKey>;
}

/** Where an attempt takes its slots. */
export interface Place {
  owner: string;
  ownerPace: Pace;
  host: Host;
  owned: OwnedHost;
  receiverKey: string;
  receiver: ReceiverState;
}

interface Waiter {
  place: Place;
  /** Called when the waiter has got its slots. */
  enter: () => void;
}

export function mayEnter({ owner, host, owned, receiverKey }: Place): boolean {
  return host.slots.mayTake(owner) && owned.slots.mayTake(receiverKey);
}

export function takeSlots({ owner, host, owned, receiverKey }: Place): void {
  host.slots.take(owner);
  owned.slots.take(receiverKey);
}

export function releaseSlots({ owner, host, owned, receiverKey }: Place): void {
  host.slots.release(owner);
  owned.slots.release(receiverKey);
  admitWaiters(host.waiting);
}

/** Resolves to whether the slots were taken; false after `maxMs`. */
export async function waitForSlots(place: Place, maxMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const waiter: Waiter = {
      place,
      enter: () => {
        clearTimeout(timer);
        resolve(true);
      },
    };
    const { waiting } = place.host;
    const { receiverKey } = place;
    const timer = setTimeout(() => {
      remove(waiting, receiverKey, waiter);
      resolve(false);
    }, maxMs);
    const group = waiting.get(receiverKey) ?? new Set();
    waiting.set(receiverKey, group.add(waiter));
  });
}

function remove(waiting: Host['waiting'], receiverKey: string, waiter: Waiter): void {
  const group = waiting.get(receiverKey);
  group?.delete(waiter);
  if (group?.size === 0) waiting.delete(receiverKey);
}

/** Gives free slots to waiters, first to those whose owners and receivers hold the fewest. */
function admitWaiters(waiting: Host['waiting']): void {
  for (;;) {
    let first: Waiter | undefined;
    for (const [waiter] of waiting.values()) {
      if (waiter === undefined || !mayEnter(waiter.place)) continue;
      if (first === undefined || holdsFewer(waiter.place, first.place)) first = waiter;
    }
    if (first === undefined) return;
    remove(waiting, first.place.receiverKey, first);
    takeSlots(first.place);
    first.enter();
  }
}

function holdsFewer(a: Place, b: Place): boolean {
  const byOwner = a.host.slots.held(a.owner) - b.host.slots.held(b.owner);
  if (byOwner !== 0) return byOwner < 0;
  return a.owned.slots.held(a.receiverKey) < b.owned.slots.held(b.receiverKey);
}
