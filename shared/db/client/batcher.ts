/**
 * Group commit: gathers the calls that arrive while earlier statements run, and sends them as one.
 *
 *   idle ──call──▶ gathering (one turn of the event loop) ──▶ running ──done──▶ running (calls since then) …
 *
 * A call that arrives while idle waits only for the calls that arrive in the same turn of the event loop.
 * Without that, the first of a hundred requests that are read together would go out alone and the others
 * would wait for it.
 *
 * Calls with the same key never share a set, never run at the same time, and keep their order. If the
 * database rejects a set because of what may be a single row, its calls are retried one by one, so that one
 * bad row fails alone. A set whose connection failed is not retried: it may have been committed.
 */
import { mayConcernOneRow } from './errors.ts';

export interface BatcherOptions<In> {
  /** Maximum number of calls in one set. */
  max: number;
  /** Maximum number of sets in flight. Default: 1. */
  lanes?: number;
  /** How long calls are gathered while no set is in flight. Default: one turn of the event loop. */
  gatherMs?: number;
  /**
   * The least time between the start of a set of several calls and that of the next set, by the number of its calls: under
   * load, fewer and larger sets cost less each. A call that follows one that was alone is not delayed. Not with `gatherMs`.
   * Default: 0.
   */
  getSpacingMs?: (calls: number) => number;
  /** The size of a call, and the maximum size of one set. A larger call is a set of its own. Default: any size. */
  size?: (input: In) => number;
  maxSize?: number;
  /** Calls with the same key run one after the other, in order. Default: any calls may share a set. */
  key?: (input: In) => string;
}

interface Waiting<In, Out> {
  input: In;
  key: string | undefined;
  size: number;
  resolve: (output: Out) => void;
  reject: (error: unknown) => void;
}

/** @param run processes a set of calls and resolves to their outputs, in the same order */
export function createBatcher<In, Out>(
  run: (inputs: readonly In[]) => Promise<readonly Out[]>,
  options: BatcherOptions<In>,
): (input: In) => Promise<Out> {
  const { lanes = 1, size = () => 0, maxSize = 0, getSpacingMs = () => 0 } = options;
  let waiting: Waiting<In, Out>[] = [];
  let running = 0;
  let gathering = false;
  /** The next set starts no earlier than this, by `performance.now()`. */
  let nextAt = Number.NEGATIVE_INFINITY;
  const runningKeys = new Set<string>();

  function gather(): void {
    gathering = true;
    const waitMs = options.gatherMs ?? nextAt - performance.now();
    if (waitMs > 0) setTimeout(start, waitMs);
    else setImmediate(start);
  }

  function start(): void {
    gathering = false;
    while (running < lanes && waiting.length > 0) {
      const { set, keys } = takeSet();
      if (set.length === 0) return;
      running += 1;
      if (set.length > 1) nextAt = performance.now() + getSpacingMs(set.length);
      for (const key of keys) runningKeys.add(key);
      void runSet(set).then(() => {
        running -= 1;
        for (const key of keys) runningKeys.delete(key);
        if (waiting.length === 0) return;
        if (options.gatherMs === undefined && performance.now() >= nextAt) start();
        else if (!gathering) gather();
      });
    }
  }

  function takeSet(): { set: Waiting<In, Out>[]; keys: Set<string> } {
    const set: Waiting<In, Out>[] = [];
    const remaining: Waiting<In, Out>[] = [];
    const keys = new Set<string>();
    const blocked = new Set(runningKeys);
    let setSize = 0;
    for (const call of waiting) {
      const { key } = call;
      const fits = set.length === 0 || (set.length < options.max && setSize + call.size <= maxSize);
      if (fits && (key === undefined || !blocked.has(key))) {
        set.push(call);
        setSize += call.size;
        if (key !== undefined) keys.add(key);
      } else {
        remaining.push(call);
      }
      if (key !== undefined) blocked.add(key);
    }
    waiting = remaining;
    return { set, keys };
  }

  async function runSet(set: readonly Waiting<In, Out>[]): Promise<void> {
    try {
      const outputs = await run(set.map((call) => call.input));
      for (const [index, call] of set.entries()) call.resolve(outputs[index] as Out);
    } catch (error) {
      const [only] = set;
      if (set.length > 1 && mayConcernOneRow(error)) {
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
      waiting.push({ input, key: options.key?.(input), size: size(input), resolve, reject });
      if (!gathering && running < lanes) gather();
    });
}
