/** What has arrived, to be waited for one by one: tests wait for an arrival instead of sleeping. */
export class Inbox<T> {
  /** Everything that ever arrived, in order. */
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

  /** The next one that was not taken yet. */
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
