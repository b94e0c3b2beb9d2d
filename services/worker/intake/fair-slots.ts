const memoryCheckMs = 100;
/** Without wake-ups of another owner for so long, an owner has all places to itself. */
const aloneMs = 10_000;

/**
 * The turns that a worker runs at the same time, shared fairly among owners.
 *
 * - A free slot goes to the waiting owner with the fewest turns (max-min fairness). Within an owner, the first to
 *   wait is served first.
 * - An owner with turns gets another one only while enough slots are free (dynamic thresholds, as in the shared
 *   buffers of network switches). With a share of 0.8 it gets at most four times as many slots as stay free: 80% if
 *   it is alone, 44% each if there are two owners, 31% each if there are three. Some slots stay free for an owner
 *   that has no turn yet.
 */
export class FairSlots {
  readonly #size: number;
  readonly #share: number;
  #inUse = 0;
  readonly #running = new Map<string, number>();
  /** The waiters of each owner, in order. */
  readonly #waiting = new Map<string, Set<(granted: boolean) => void>>();
  #waiters = 0;
  readonly #idle = new Set<() => void>();
  readonly #mayClaim: (running: number) => boolean;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  /** The owner that asked last to wait, and when another one had asked before it. */
  #latest: string | undefined;
  #changedAt = -Infinity;

  /**
   * @param share of the slots that one owner can get, above 0 and up to 1; each owner can get at least one slot
   * @param mayClaim whether the process has memory for a further turn
   */
  constructor(size: number, share: number, mayClaim: (running: number) => boolean = () => true) {
    this.#size = size;
    this.#share = share;
    this.#mayClaim = mayClaim;
  }

  get inUse(): number {
    return this.#inUse;
  }

  /** The number of slots that are not in use; 0 while there is no memory for a further turn. */
  get free(): number {
    return this.#mayClaim(this.#inUse) ? this.#size - this.#inUse : 0;
  }

  /** The number of slots that the owner holds. */
  heldBy(owner: string): number {
    return this.#running.get(owner) ?? 0;
  }

  /** The number of slots that the owner could take now. */
  roomFor(owner: string): number {
    if (!this.#mayClaim(this.#inUse)) return 0;
    const free = this.#size - this.#inUse;
    const held = this.heldBy(owner);
    // The most slots for which held + slots <= share / (1 - share) * (free - slots), despite rounding errors.
    const slots = Math.floor(this.#share * free - (1 - this.#share) * held + 1e-9);
    return Math.max(slots, held === 0 && free > 0 ? 1 : 0);
  }

  /** Takes up to `count` slots at once; returns how many. */
  take(owner: string, count: number): number {
    const taken = this.#closed ? 0 : Math.max(0, Math.min(count, this.roomFor(owner)));
    if (taken > 0) this.#hold(owner, taken);
    return taken;
  }

  /**
   * Whether a further wake-up of the owner may wait, if `places` may wait in total: one owner gets at most half of those
   * that the others leave. An owner that has been alone for ten seconds gets all.
   */
  mayWait(owner: string, places: number, now = performance.now()): boolean {
    if (owner !== this.#latest) this.#changedAt = this.#latest === undefined ? -Infinity : now;
    this.#latest = owner;
    if (now - this.#changedAt >= aloneMs) return true;
    return (this.#waiting.get(owner)?.size ?? 0) < places - this.#waiters;
  }

  /**
   * Takes a slot as soon as the owner has room.
   *
   * @param waitMs longest wait; undefined: until the slots are closed
   * @returns false if there was no slot
   */
  async acquire(owner: string, waitMs?: number): Promise<boolean> {
    if (!this.#waiting.has(owner) && this.take(owner, 1) === 1) return true;
    if (this.#closed || waitMs === 0) return false;
    return new Promise((resolve) => {
      const waiters = this.#waiting.get(owner) ?? new Set();
      this.#waiting.set(owner, waiters);
      const settle = (granted: boolean): void => {
        clearTimeout(timer);
        if (waiters.delete(settle)) this.#waiters -= 1;
        if (waiters.size === 0) this.#waiting.delete(owner);
        resolve(granted);
      };
      const timer = waitMs === undefined ? undefined : setTimeout(() => settle(false), waitMs);
      waiters.add(settle);
      this.#waiters += 1;
      this.#grantLater();
    });
  }

  release(owner: string, count = 1): void {
    const held = this.heldBy(owner) - count;
    if (held === 0) this.#running.delete(owner);
    else this.#running.set(owner, held);
    this.#inUse -= count;
    this.#grant();
    if (this.#inUse === 0) for (const done of this.#idle) done();
  }

  /** Refuses slots from now on, including to waiters. */
  close(): void {
    this.#closed = true;
    for (const waiters of this.#waiting.values()) for (const settle of waiters) settle(false);
  }

  /** Resolves when no slot is in use. */
  async idle(): Promise<void> {
    if (this.#inUse === 0) return;
    await new Promise<void>((resolve) => this.#idle.add(resolve));
  }

  #hold(owner: string, count: number): void {
    this.#running.set(owner, this.heldBy(owner) + count);
    this.#inUse += count;
  }

  /** Gives free slots to waiters. If the owner with the fewest turns has no room, the others have none either. */
  #grant(): void {
    while (this.#waiting.size > 0) {
      let next: string | undefined;
      for (const owner of this.#waiting.keys()) {
        if (next === undefined || this.heldBy(owner) < this.heldBy(next)) next = owner;
      }
      if (next === undefined || this.take(next, 1) === 0) break;
      const [settle] = this.#waiting.get(next) ?? [];
      settle?.(true);
    }
    this.#grantLater();
  }

  /**
   * Waiters may lack memory and not slots: they are served when there is some again, not only when a turn ends. Asks
   * even if there is memory now, because there was none when a waiter was refused.
   */
  #grantLater(): void {
    if (this.#waiting.size === 0 || this.#closed || this.#inUse === this.#size) return;
    if (this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#grant();
    }, memoryCheckMs).unref();
  }
}
