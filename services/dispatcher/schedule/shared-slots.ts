/**
 * Slots that groups share by dynamic thresholds (Choudhury and Hahne, 1998): a group may take another slot
 * while it holds fewer than are free. A busy group alone gets half of the slots, and n busy groups get an
 * n + 1st part each. Some slots therefore stay free for groups that hold none.
 */
export class SharedSlots {
  readonly #capacity: number;
  readonly #held = new Map<string, number>();
  #used = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get used(): number {
    return this.#used;
  }

  /** Returns the number of slots that a group holds. */
  held(group: string): number {
    return this.#held.get(group) ?? 0;
  }

  mayTake(group: string): boolean {
    return this.held(group) < this.#capacity - this.#used;
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
