/**
 * Many deadlines on one timer. Items are kept in slots of 10 ms, so that setting, moving and dropping a deadline is a
 * set operation, however many thousands of leases are open; only the slots are ordered (a binary heap of their times).
 * An item is never called early, and at most a slot late.
 */
const SLOT_MS = 10;

export interface Timed {
  /** Where the item waits now; owned by `Deadlines`. */
  slot: Set<Timed> | undefined;
  due(): void;
}

export class Deadlines {
  readonly #slots = new Map<number, Set<Timed>>();
  readonly #order: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;

  /** Calls `item.due()` in `ms` milliseconds; an earlier deadline of the same item is forgotten. */
  set(item: Timed, ms: number): void {
    this.drop(item);
    const time = Math.ceil((performance.now() + ms) / SLOT_MS);
    let slot = this.#slots.get(time);
    if (!slot) {
      slot = new Set();
      this.#slots.set(time, slot);
      push(this.#order, time);
      this.#arm();
    }
    slot.add(item);
    item.slot = slot;
  }

  drop(item: Timed): void {
    item.slot?.delete(item);
    item.slot = undefined;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#slots.clear();
    this.#order.length = 0;
  }

  #arm(): void {
    const next = this.#order[0];
    if (next === undefined || next >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = next;
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, next * SLOT_MS - performance.now()));
  }

  #fire(): void {
    this.#armedFor = Infinity;
    const now = performance.now() / SLOT_MS;
    for (let time = this.#order[0]; time !== undefined && time <= now; time = this.#order[0]) {
      pop(this.#order);
      const slot = this.#slots.get(time);
      this.#slots.delete(time);
      for (const item of slot ?? []) {
        item.slot = undefined;
        item.due();
      }
    }
    this.#arm();
  }
}

function push(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] ?? -Infinity;
    if (above <= value) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = value;
}

function pop(heap: number[]): void {
  const value = heap.pop();
  if (value === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    const left = at * 2 + 1;
    const right = left + 1;
    const child = (heap[right] ?? Infinity) < (heap[left] ?? Infinity) ? right : left;
    const below = heap[child] ?? Infinity;
    if (below >= value) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = value;
}
