/** A bounded cache of values that are loaded once for all that ask at the same time. */
export interface ExpiringCache<T> {
  /** A load that fails is not kept. */
  get(key: string, load: () => Promise<T>): Promise<T>;
  /** Returns a value that is cached or being loaded. */
  peek(key: string): Promise<T> | undefined;
  delete(key: string): void;
}

/** @param options.max the entries that were loaded first make room for others */
export function createExpiringCache<T>({ max, ageMs }: { max: number; ageMs: number }): ExpiringCache<T> {
  const entries = new Map<string, { value: Promise<T>; at: number }>();
  const peek = (key: string): Promise<T> | undefined => {
    const entry = entries.get(key);
    return entry !== undefined && performance.now() - entry.at < ageMs ? entry.value : undefined;
  };
  return {
    peek,
    delete: (key) => void entries.delete(key),
    get: (key, load) => {
      const cached = peek(key);
      if (cached !== undefined) return cached;
      const entry = { value: load(), at: performance.now() };
      entries.delete(key);
      entries.set(key, entry);
      entry.value.catch(() => {
        if (entries.get(key) === entry) entries.delete(key);
      });
      const [oldest = key] = entries.keys();
      if (entries.size > max) entries.delete(oldest);
      return entry.value;
    },
  };
}
