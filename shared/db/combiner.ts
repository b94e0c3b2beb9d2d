/**
 * Group commit: gathers the calls that arrive while the statement before them runs, and sends them as one.
 *
 *   idle ──call──▶ running(set of the calls of this tick) ──done──▶ running(those that came meanwhile) … ──none──▶ idle
 *
 * A call that arrives idle goes out alone and waits for nobody. Two calls of one key never share a set, and keep their
 * order. A set that the database refuses is tried again one by one, so that one bad row fails alone; a set that failed
 * because the connection did is not tried again, since it may have been committed.
 */
export interface CombinerOptions<In> {
  /** Calls in one set at most. */
  max: number;
  /** Calls of one key run one after the other, in the order in which they came. */
  key: (input: In) => string;
}

interface Waiting<In, Out> {
  input: In;
  resolve: (output: Out) => void;
  reject: (error: unknown) => void;
}

/**
 * @param run takes a set of calls and resolves to their outputs, in the same order
 */
export function combine<In, Out>(
  run: (inputs: readonly In[]) => Promise<readonly Out[]>,
  options: CombinerOptions<In>,
): (input: In) => Promise<Out> {
  let waiting: Waiting<In, Out>[] = [];
  let running = false;

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const set = takeSet();
      await runSet(set);
    }
    running = false;
  }

  function takeSet(): Waiting<In, Out>[] {
    const set: Waiting<In, Out>[] = [];
    const left: Waiting<In, Out>[] = [];
    const keys = new Set<string>();
    for (const call of waiting) {
      const key = options.key(call.input);
      if (set.length < options.max && !keys.has(key)) set.push(call);
      else left.push(call);
      keys.add(key);
    }
    waiting = left;
    return set;
  }

  async function runSet(set: readonly Waiting<In, Out>[]): Promise<void> {
    try {
      const outputs = await run(set.map((call) => call.input));
      for (const [index, call] of set.entries()) call.resolve(outputs[index] as Out);
    } catch (error) {
      const [only] = set;
      if (set.length > 1 && wasRefused(error)) {
        for (const call of set) await runSet([call]);
      } else if (set.length === 1 && only !== undefined) {
        only.reject(error);
      } else {
        for (const call of set) call.reject(error);
      }
    }
  }

  return (input) =>
    new Promise<Out>((resolve, reject) => {
      waiting.push({ input, resolve, reject });
      if (running) return;
      running = true;
      queueMicrotask(() => void drain());
    });
}

/**
 * Whether the database answered that it did not do the statement: any SQLSTATE but those of a lost connection
 * (class 08) or of an operator's intervention (class 57, a shutdown).
 */
export function wasRefused(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^(08|57)/.test(code);
}
