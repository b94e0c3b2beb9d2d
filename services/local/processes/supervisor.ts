/**
 * Keeps a set of child processes running, and ends them in order.
 *
 *   starting ──ready──▶ running ──ended──▶ waiting (backoff) ──▶ starting again ──ready──▶ running
 *      │                   │
 *      │ ended 3 times     └── stop(): highest tier first, all of a tier at once; bounded, then killed
 *      ▼
 *   StartError, which ends the start of the whole
 *
 * What a child is (a Node process, a PostgreSQL server) is its own business: see node-child.ts and stack.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Print } from './log-output.ts';

export interface Child {
  readonly name: string;
  /** Stopped from the highest tier to the lowest. */
  readonly tier: number;
  /** Resolves when the child is ready. Rejects when it ended before, or when the signal came; it has ended then. */
  start(signal: AbortSignal): Promise<RunningChild>;
  /** What must be done again after the child came back empty. */
  restarted?(signal: AbortSignal): Promise<void>;
}

export interface RunningChild {
  /** Resolves with how it ended. */
  readonly exited: Promise<string>;
  /** Asks it to end, and kills it when it does not within its bound. */
  stop(): void;
  kill(): void;
}

/** A child ended, or was not ready in time, when it was started. */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** The last it said. */
  readonly lines: readonly string[];
  /** False: trying again changes nothing (its configuration is wrong). */
  readonly retryable: boolean;
  constructor(message: string, lines: readonly string[], retryable = true) {
    super(message);
    this.lines = lines;
    this.retryable = retryable;
  }
}

export interface SupervisorTimes {
  /** Before the first restart; doubles with each failure. */
  backoffMs: number;
  maxBackoffMs: number;
  /** A child that ran so long starts again with the first backoff. */
  stableMs: number;
  /** For `stop` as a whole; then everything is killed. */
  stopMs: number;
}

const defaultTimes: SupervisorTimes = {
  backoffMs: 250,
  maxBackoffMs: 10_000,
  stableMs: 30_000,
  stopMs: 4500,
};
const startAttempts = 3;

interface Entry {
  readonly child: Child;
  running: RunningChild | undefined;
}

export class Supervisor {
  readonly #print: Print;
  readonly #times: SupervisorTimes;
  readonly #entries = new Set<Entry>();
  readonly #busy = new Set<Promise<unknown>>();
  readonly #stopping = new AbortController();

  constructor(print: Print, times: Partial<SupervisorTimes> = {}) {
    this.#print = print;
    this.#times = { ...defaultTimes, ...times };
  }

  /** Aborts when the stop begins. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /**
   * Starts a child and keeps it running from then on.
   *
   * @throws {StartError} when it ended three times before it was ready
   */
  async start(child: Child): Promise<void> {
    const entry: Entry = { child, running: undefined };
    this.#entries.add(entry);
    await this.#track(this.#firstStart(entry));
    void this.#track(this.#watch(entry));
  }

  /** Stops everything, in order. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const deadline = setTimeout(() => {
      this.#print('local', { severity: 'WARNING', message: 'the stop took too long: killing what is left' });
      this.kill();
    }, this.#times.stopMs);
    const tiers = new Set([...this.#entries].map(({ child }) => child.tier));
    for (const tier of [...tiers].sort((a, b) => b - a)) {
      const inTier = [...this.#entries].filter(({ child }) => child.tier === tier);
      const running = inTier.flatMap((entry) => (entry.running === undefined ? [] : [entry.running]));
      for (const child of running) child.stop();
      await Promise.all(running.map((child) => child.exited));
    }
    await Promise.allSettled(this.#busy);
    clearTimeout(deadline);
  }

  /** Ends everything now. */
  kill(): void {
    this.#stopping.abort();
    for (const { running } of this.#entries) running?.kill();
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#busy.add(work);
    try {
      return await work;
    } finally {
      this.#busy.delete(work);
    }
  }

  async #firstStart(entry: Entry): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#startOnce(entry);
        return;
      } catch (error) {
        const again = error instanceof StartError && error.retryable && attempt < startAttempts;
        if (!again || this.signal.aborted) throw error;
        this.#report(entry.child, `${error.message}; starting it again`);
        await sleep(this.#times.backoffMs, undefined, { signal: this.signal });
      }
    }
  }

  async #startOnce(entry: Entry): Promise<void> {
    const running = await entry.child.start(this.signal);
    entry.running = running;
    if (this.signal.aborted) {
      running.kill();
      await running.exited;
      throw new StartError(`${entry.child.name} was stopped`, []);
    }
  }

  async #watch(entry: Entry): Promise<void> {
    let failures = 0;
    for (;;) {
      const since = performance.now();
      const how = await entry.running?.exited;
      if (this.signal.aborted) return;
      if (performance.now() - since >= this.#times.stableMs) failures = 0;
      let problem = `ended unexpectedly (${how})`;
      for (;;) {
        const wait = Math.min(this.#times.maxBackoffMs, this.#times.backoffMs * 2 ** failures++);
        this.#report(entry.child, `${problem}; starting it again in ${wait} ms`);
        try {
          await sleep(wait, undefined, { signal: this.signal });
          await this.#startOnce(entry);
          await entry.child.restarted?.(this.signal);
          break;
        } catch (error) {
          entry.running?.kill();
          await entry.running?.exited;
          if (this.signal.aborted) return;
          problem = error instanceof Error ? error.message : String(error);
        }
      }
      this.#print('local', {
        severity: 'INFO',
        message: `${entry.child.name} is back`,
        child: entry.child.name,
      });
    }
  }

  #report(child: Child, message: string): void {
    const text = message.startsWith(child.name) ? message : `${child.name}: ${message}`;
    this.#print('local', { severity: 'ERROR', message: text, child: child.name });
  }
}
