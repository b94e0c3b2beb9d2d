/** Beyond this number, idle entries are forgotten. */
const maxEntries = 10_000;

/** Creates entries when they are first asked for. */
export class Registry<Entry> {
  readonly #entries = new Map<string, Entry>();
  readonly #create: () => Entry;
  readonly #isIdle: (entry: Entry) => boolean;

  constructor(create: () => Entry, isIdle: (entry: Entry) => boolean) {
    this.#create = create;
    this.#isIdle = isIdle;
  }

  get(key: string): Entry {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= maxEntries) {
      for (const [other, entry] of this.#entries) if (this.#isIdle(entry)) this.#entries.delete(other);
    }
    const entry = this.#create();
    this.#entries.set(key, entry);
    return entry;
  }
}
