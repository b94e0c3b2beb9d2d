/**
 * Group commit: gathers the calls that arrive while the statements before them run, and sends them as one.
 *
 *   idle ──call──▶ gathering (one turn of the event loop) ──▶ running(set) ──done──▶ running(those that came meanwhile) …
 *
 * A call that arrives idle waits for those that arrived with it and for nobody else: without that, the first of a hundred
 * requests that are read together would go out alone, and the others wait for it. Two calls of one key never share a set,
 * never run at the same time, and keep their order. A set that the database refuses is tried again one by one, so that
 * one bad row fails alone; a set that failed because the connection did is not tried again, since it may have been
 * committed.
 */
export interface BatcherOptions<In> {
  /** Calls in one set at most. */
  max: number;
  /** Sets under way at most. Default: 1. */
  lanes?: number;
  /** How long calls are gathered for, where nobody waits for them. Default: for a turn of the event loop. */
  gatherMs?: number;
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
export function createBatcher<In, Out>(
  run: (inputs: readonly In[]) => Promise<readonly Out[]>,
  options: BatcherOptions<In>,
): (input: In) => Promise<Out> {
  const { lanes = 1 } = options;
  let waiting: Waiting<In, Out>[] = [];
  let running = 0;
  let gathering = false;
  const runningKeys = new Set<string>();

  function gather(): void {
    gathering = true;
    if (options.gatherMs === undefined) setImmediate(begin);
    else setTimeout(begin, options.gatherMs);
  }

  function begin(): void {
    gathering = false;
    while (running < lanes && waiting.length > 0) {
      const { set, keys } = takeSet();
      if (set.length === 0) return;
      running += 1;
      for (const key of keys) runningKeys.add(key);
      void runSet(set).then(() => {
        running -= 1;
        for (const key of keys) runningKeys.delete(key);
        if (options.gatherMs === undefined) begin();
        else if (waiting.length > 0) gather();
      });
    }
  }

  function takeSet(): { set: Waiting<In, Out>[]; keys: Set<string> } {
    const set: Waiting<In, Out>[] = [];
    const left: Waiting<In, Out>[] = [];
    const keys = new Set<string>();
    const blocked = new Set(runningKeys);
    for (const call of waiting) {
      const key = options.key?.(call.input);
      if (set.length < options.max && (key === undefined || !blocked.has(key))) {
        set.push(call);
        if (key !== undefined) keys.add(key);
      } else {
        left.push(call);
      }
      if (key !== undefined) blocked.add(key);
    }
    waiting = left;
    return { set, keys };
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
      if (!gathering && running < lanes) gather();
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
