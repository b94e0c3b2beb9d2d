/**
 * Keeps a set of child processes running, and stops them in order.
 *
 *   starting ──ready──▶ running ──exited──▶ waiting (backoff) ──▶ restarting ──ready──▶ running
 *      │                   │
 *      │ failed 3 times    └── stop(): from the highest tier to the lowest, each tier in parallel; killed after a timeout
 *      ▼
 *   StartError from start()
 *
 * The supervisor does not know the kinds of children: see node-child.ts and infrastructure.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import type { Print } from './log-output.ts';

export interface Child {
  readonly name: string;
  /** Children are stopped from the highest tier to the lowest. */
  readonly tier: number;
  /**
   * Resolves when the child is ready. Rejects if it exits first, or after the signal has aborted and it has
   * exited.
   */
  start(signal: AbortSignal): Promise<RunningChild>;
  /** Called after a restart, for example to recreate state that the child has lost. */
  restarted?(signal: AbortSignal): Promise<void>;
}

export interface RunningChild {
  /** Resolves to the exit code or signal, as text. */
  readonly exited: Promise<string>;
  /** Requests a shutdown, and kills the child if that takes too long. */
  stop(): void;
  kill(): void;
}

/** A child exited during startup or was not ready in time. */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** The last lines of its output. */
  readonly lines: readonly string[];
  /** False if a retry would also fail because the configuration of the child is invalid. */
  readonly retryable: boolean;
  constructor(message: string, lines: readonly string[], retryable = true) {
    super(message);
    this.lines = lines;
    this.retryable = retryable;
  }
}

export interface SupervisorTimes {
  /** The delay before the first restart. It doubles with each failure. */
  backoffMs: number;
  maxBackoffMs: number;
  /** The backoff is reset after a child has run this long. */
  stableMs: number;
  /** The time limit of `stop`. Children that are still running are killed then. */
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
  /** Set when the child is stopped on purpose: it is then started again at once, or not at all. */
  stopped?: 'restart' | 'removed' | undefined;
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

  /** Aborts when `stop` or `kill` is called. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /**
   * Starts a child and keeps it running.
   *
   * @throws {StartError} if it fails to start three times, or once with an error that is not retryable
   */
  async start(child: Child): Promise<void> {
    const entry: Entry = { child, running: undefined };
    this.#entries.add(entry);
    await this.#track(this.#firstStart(entry));
    void this.#track(this.#keepRunning(entry));
  }

  /**
   * Starts `next`, and then stops `current`. If `next` does not start, `current` keeps running.
   *
   * @throws {StartError} if `next` does not start
   */
  async replace(current: Child, next: Child): Promise<void> {
    const entry: Entry = { child: next, running: undefined };
    await this.#track(this.#startOnce(entry));
    this.#entries.add(entry);
    void this.#track(this.#keepRunning(entry));
    this.#stopEntry(current, 'removed');
  }

  /** Stops a child, which then starts again. */
  restart(child: Child): void {
    this.#stopEntry(child, 'restart');
  }

  #stopEntry(child: Child, stopped: Entry['stopped']): void {
    for (const entry of this.#entries) {
      if (entry.child !== child) continue;
      entry.stopped = stopped;
      entry.running?.stop();
    }
  }

  /** Stops all children in order. Resolves when all have exited. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const deadline = setTimeout(() => {
      this.#print('local', {
        severity: 'WARNING',
        message: 'stopping took too long, killing the remaining processes',
      });
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

  /** Kills all children immediately. */
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
        const retry = error instanceof StartError && error.retryable && attempt < startAttempts;
        if (!retry || this.signal.aborted) throw error;
        this.#report(entry.child, `${error.message}; retrying`);
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
    if (entry.stopped !== undefined) running.stop();
  }

  async #keepRunning(entry: Entry): Promise<void> {
    let failures = 0;
    for (;;) {
      const since = performance.now();
      const exit = await entry.running?.exited;
      if (this.#isDone(entry)) return;
      if (performance.now() - since >= this.#times.stableMs) failures = 0;
      let problem = `exited unexpectedly (${exit})`;
      for (;;) {
        const wanted = entry.stopped === 'restart';
        entry.stopped = undefined;
        failures = wanted ? 0 : failures + 1;
        const delayMs = wanted ? 0 : this.#getRestartDelayMs(failures);
        if (!wanted) this.#report(entry.child, `${problem}; restarting in ${delayMs} ms`);
        try {
          await sleep(delayMs, undefined, { signal: this.signal });
          await this.#startOnce(entry);
          await entry.child.restarted?.(this.signal);
          break;
        } catch (error) {
          entry.running?.kill();
          await entry.running?.exited;
          if (this.#isDone(entry)) return;
          problem = error instanceof Error ? error.message : String(error);
        }
      }
      this.#print('local', {
        severity: 'INFO',
        message: `${entry.child.name} is running again`,
        child: entry.child.name,
      });
    }
  }

  #isDone(entry: Entry): boolean {
    if (entry.stopped === 'removed') this.#entries.delete(entry);
    return this.signal.aborted || entry.stopped === 'removed';
  }

  /** Without jitter: the children of one machine need none. */
  #getRestartDelayMs(failures: number): number {
    const { backoffMs, maxBackoffMs } = this.#times;
    const policy = { firstSeconds: backoffMs / 1000, longestSeconds: maxBackoffMs / 1000 };
    return Math.round(1000 * backoffSeconds(failures, 1, policy));
  }

  #report(child: Child, message: string): void {
    const text = message.startsWith(child.name) ? message : `${child.name}: ${message}`;
    this.#print('local', { severity: 'ERROR', message: text, child: child.name });
  }
}
