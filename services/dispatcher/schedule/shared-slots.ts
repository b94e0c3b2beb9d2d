/**
 * Slots that groups share by dynamic thresholds (Choudhury and Hahne, 1998): a group may take another slot
 * while it holds fewer than are free. A busy group alone gets half of the slots, and n busy groups get an
 * n + 1st part each. Some slots therefore stay free for groups that hold none.
 */
export class SharedSlots {
  /** May change at any time: groups that hold more than their share take no further slot. */
  capacity: number;
  readonly #held = new Map<string, number>();
  #used = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get used(): number {
    return this.#used;
  }

  /** Returns the number of slots that a group holds. */
  held(group: string): number {
    return this.#held.get(group) ?? 0;
  }

  mayTake(group: string): boolean {
    return this.getRoom(group) > 0;
  }

  /** Returns how many slots are free for a group, less those that it holds; at most 0: it may take none. */
  getRoom(group: string): number {
    return this.capacity - this.#used - this.held(group);
  }

  /**
   * Returns the groups with less room than this, and how many slots any one of the others may take, whichever it is. Each
   * slot that a group takes costs it two of its room.
   */
  survey(room: number): { busy: string[]; slots: number } {
    const busy: string[] = [];
    let least = this.capacity - this.#used;
    for (const group of this.#held.keys()) {
      const own = this.getRoom(group);
      if (own < room) busy.push(group);
      else least = Math.min(least, own);
    }
    return { busy, slots: Math.ceil(least / 2) };
  }

  /** The caller has checked `mayTake`. */
  take(group: string): void {
    this.#used += 1;
    this.#held.set(group, this.held(group) + 1);
  }

  release(group: string): void {
    this.#used -= 1;
    const left = this.held(group) - 1;
    if (left > 0) this.#held.set(group, left);
    else this.#held.delete(group);
  }
}
