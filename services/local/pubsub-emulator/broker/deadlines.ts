/**
 * Runs many deadlines on one timer. Items are stored in slots of 10 ms, so setting, moving and dropping a
 * deadline are set operations even with many thousands of open leases. Only the slots are ordered, in a
 * binary heap by time. An item is never called early, and at most one slot late.
 */
const slotMs = 10;

export interface Timed {
  /** The slot that holds the item. Set only by `Deadlines`. */
  slot: Set<Timed> | undefined;
  due(): void;
}

export class Deadlines {
  readonly #slots = new Map<number, Set<Timed>>();
  readonly #order: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;

  /** Calls `item.due()` in `ms` milliseconds. Replaces any previous deadline of the item. */
  set(item: Timed, ms: number): void {
    this.drop(item);
    const time = Math.ceil((performance.now() + ms) / slotMs);
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
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, next * slotMs - performance.now()));
  }

  #fire(): void {
    this.#armedFor = Infinity;
    const now = performance.now() / slotMs;
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
