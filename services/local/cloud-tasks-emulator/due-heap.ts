/** A binary heap ordered by due time. Values with equal times are returned in insertion order. */
interface Entry<T> {
  readonly due: number;
  readonly order: number;
  readonly value: T;
}

export class DueHeap<T> {
  readonly #entries: Entry<T>[] = [];
  #pushed = 0;

  peek(): Entry<T> | undefined {
    return this.#entries[0];
  }

  push(due: number, value: T): void {
    const entries = this.#entries;
    const entry = { due, order: this.#pushed++, value };
    let index = entries.length;
    entries.push(entry);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = entries[above];
      if (parent === undefined || !isBefore(entry, parent)) break;
      entries[index] = parent;
      index = above;
    }
    entries[index] = entry;
  }

  pop(): Entry<T> | undefined {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    if (first === undefined || last === undefined || entries.length === 0) return first;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      let child = entries[below];
      if (child === undefined) break;
      const right = entries[below + 1];
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        below += 1;
      }
      if (!isBefore(child, last)) break;
      entries[index] = child;
      index = below;
    }
    entries[index] = last;
    return first;
  }
}

function isBefore<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
