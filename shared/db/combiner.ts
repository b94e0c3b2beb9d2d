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
  /** Sets under way at most; more than one only where the order of calls does not matter. Default: 1. */
  lanes?: number;
  /** Calls of one key run one after the other, in the order in which they came. Left out: any may share a set. */
  key?: (input: In) => string;
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
  let running = 0;

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const set = takeSet();
      await runSet(set);
    }
    running -= 1;
  }

  function takeSet(): Waiting<In, Out>[] {
    const set: Waiting<In, Out>[] = [];
    const left: Waiting<In, Out>[] = [];
    const keys = new Set<string>();
    for (const call of waiting) {
      const key = options.key?.(call.input);
      if (set.length < options.max && (key === undefined || !keys.has(key))) set.push(call);
      else left.push(call);
      if (key !== undefined) keys.add(key);
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
      if (running >= (options.lanes ?? 1)) return;
      running += 1;
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
