/**
 * Queues of deliveries that wait for a slot of the process. They are claimed, and small, so waiting costs nothing but memory,
 * while a deferral costs a record, a wake-up, a Cloud Task and another claim.
 */

interface Entrant {
  end: (entered: boolean) => void;
}

export class Entrants {
  /** By owner, in the order of their arrival. */
  readonly #waiting = new Map<string, Set<Entrant>>();

  count(owner: string): number {
    return this.#waiting.get(owner)?.size ?? 0;
  }

  /** Resolves to whether `admit` has let the caller in; false after `maxMs`, or when all are dismissed. */
  wait(owner: string, maxMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const entrant = {
        end: (entered: boolean) => {
          clearTimeout(timer);
          resolve(entered);
        },
      };
      const timer = setTimeout(() => {
        this.#remove(owner, entrant);
        resolve(false);
      }, maxMs);
      this.#waiting.set(owner, (this.#waiting.get(owner) ?? new Set<Entrant>()).add(entrant));
    });
  }

  /** Lets in those for which there are slots, first those of the owners that hold the fewest. */
  admit(slots: {
    mayTake: (owner: string) => boolean;
    held: (owner: string) => number;
    take: (owner: string) => void;
  }): void {
    for (;;) {
      let first: string | undefined;
      for (const owner of this.#waiting.keys()) {
        if (slots.mayTake(owner) && (first === undefined || slots.held(owner) < slots.held(first)))
          first = owner;
      }
      const [entrant] = (first !== undefined && this.#waiting.get(first)) || [];
      if (first === undefined || entrant === undefined) return;
      this.#remove(first, entrant);
      slots.take(first);
      entrant.end(true);
    }
  }

  /** Ends all waits without a slot. */
  dismiss(): void {
    const groups = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const group of groups) for (const entrant of group) entrant.end(false);
  }

  #remove(owner: string, entrant: Entrant): void {
    const group = this.#waiting.get(owner);
    group?.delete(entrant);
    if (group?.size === 0) this.#waiting.delete(owner);
  }
}
