/** Collects items as they arrive. Tests wait for the next item instead of sleeping. */
export class Inbox<T> {
  /** All items that have arrived, in order. */
  readonly all: T[] = [];
  #taken = 0;
  #wake: (() => void) | undefined;
  #failure: Error | undefined;

  push(item: T): void {
    this.all.push(item);
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#failure = error;
    this.#wake?.();
  }

  /** Resolves to the next item that was not taken yet. Rejects after `fail`. */
  async next(): Promise<T> {
    while (this.#taken === this.all.length) {
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#taken += 1;
    return this.all[this.#taken - 1]!;
  }

  async take(count: number): Promise<T[]> {
    const items: T[] = [];
    while (items.length < count) items.push(await this.next());
    return items;
  }
}
