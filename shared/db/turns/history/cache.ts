/**
 * Keeps what this process has read of conversations, as JSON: the next turn of a conversation then reads only what was
 * added. Every entry has a version, which the database returns with the outline of a history, so an entry that another
 * process has made outdated is never used.
 */

/** A part of a history: the exchange of a turn, or the record of its steps. */
export interface CacheKey {
  kind: 'exchange' | 'record';
  taskId: string;
  turn: number;
  version: string;
}

interface Entry {
  version: string;
  value: unknown;
  bytes: number;
}

export class HistoryCache {
  readonly #entries = new Map<string, Entry>();
  readonly #getMaxBytes: () => number;
  #bytes = 0;

  /** @param getMaxBytes returns what all entries may take now */
  constructor(getMaxBytes: () => number) {
    this.#getMaxBytes = getMaxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the value of a key in this version; undefined if it is not known. */
  get(key: CacheKey): unknown {
    const name = toName(key);
    const entry = this.#entries.get(name);
    if (entry?.version !== key.version) return undefined;
    // The entries are in the order of their last use.
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return entry.value;
  }

  /** Keeps a value while there is room. The entries that were not used for longest make room. */
  set(key: CacheKey, value: unknown, bytes: number): void {
    const maxBytes = this.#getMaxBytes();
    this.#delete(toName(key));
    if (bytes > maxBytes) return;
    this.shrink(maxBytes - bytes);
    this.#entries.set(toName(key), { version: key.version, value, bytes });
    this.#bytes += bytes;
  }

  shrink(maxBytes: number): void {
    for (const name of this.#entries.keys()) {
      if (this.#bytes <= maxBytes) return;
      this.#delete(name);
    }
  }

  #delete(name: string): void {
    this.#bytes -= this.#entries.get(name)?.bytes ?? 0;
    this.#entries.delete(name);
  }
}

function toName({ kind, taskId, turn }: CacheKey): string {
  return `${kind}/${taskId}/${turn}`;
}
