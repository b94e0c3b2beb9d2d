/** A queue of items by key, such as the calls of callers. Keys take turns, and the items of a key stay in order. */
export class TurnQueue<Key, Item> {
  /** No list is empty. The first key is next. */
  readonly #items = new Map<Key, Item[]>();

  /** The number of keys with items. */
  get keyCount(): number {
    return this.#items.size;
  }

  /** Keys with items, the next one first. */
  keys(): IterableIterator<Key> {
    return this.#items.keys();
  }

  countOf(key: Key): number {
    return this.#items.get(key)?.length ?? 0;
  }

  push(key: Key, item: Item): void {
    const items = this.#items.get(key);
    if (items === undefined) this.#items.set(key, [item]);
    else items.push(item);
  }

  /** Removes and returns the first item of the next key, which is then behind the others; undefined: there is none. */
  shift(): Item | undefined {
    for (const key of this.#items.keys()) return this.shiftOf(key);
    return undefined;
  }

  /** The same for another key than the next one. */
  shiftOf(key: Key): Item | undefined {
    const items = this.#items.get(key);
    const item = items?.shift();
    this.#items.delete(key);
    if (items !== undefined && items.length > 0) this.#items.set(key, items);
    return item;
  }

  /** Removes and returns the last item of a key, which keeps its place. */
  popOf(key: Key): Item | undefined {
    const items = this.#items.get(key);
    const item = items?.pop();
    if (items?.length === 0) this.#items.delete(key);
    return item;
  }
}
