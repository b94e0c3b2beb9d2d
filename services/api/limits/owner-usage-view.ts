/**
 * The usage of an owner, as this process knows it: as last read from the database, with its own reservations
 * since then. Reservations in flight when a read starts are counted on top of what it returns, because it may
 * not have seen them.
 */
import type { OwnerUsage, OwnerUsageRead } from '#shared/db/owners/usage.ts';

export interface Amounts {
  openTasks: number;
  storedBytes: number;
  webhookConfigs: number;
}

/** Counting ten thousand open tasks takes several milliseconds. */
const maxPaceMs = 5_000;

interface ViewParts {
  read: () => Promise<OwnerUsageRead>;
  /** Stored by this process, and not known to be in what the database returns. */
  getPending: () => Omit<Amounts, 'openTasks'>;
  /** The version of the pending amounts; see UsageRecorder. */
  getVersion: () => number;
  settled: () => Promise<void>;
}

/** A read during which pending amounts were being added may count them twice: it is repeated. */
const maxReads = 3;

export class OwnerUsageView {
  readonly #parts: ViewParts;
  #known: OwnerUsage = { openTasks: 0, storedBytes: 0, webhookConfigs: 0, modelCostPerDay: 0 };
  readonly #inFlight = zero();
  /** Reserved on top of `#known`, and on top of what the running read will return. */
  #since = zero();
  #next = zero();
  #reading: Promise<void> | undefined;
  #readAt = -Infinity;
  #readMs = 0;

  constructor(parts: ViewParts) {
    this.#parts = parts;
  }

  getUsed(limit: keyof OwnerUsage): number {
    return limit === 'modelCostPerDay' ? this.#known[limit] : this.#known[limit] + this.#since[limit];
  }

  /** Milliseconds since the start of the last read. */
  get age(): number {
    return performance.now() - this.#readAt;
  }

  /** The age until which this view need not be read again, so that its reads take a fiftieth of the database's time. */
  get minAge(): number {
    return Math.min(maxPaceMs, 50 * this.#readMs);
  }

  get idle(): boolean {
    return this.#reading === undefined && this.#inFlight.openTasks + this.#inFlight.storedBytes === 0;
  }

  /** Reads again. Concurrent calls share one read. */
  refresh(): Promise<void> {
    return (this.#reading ??= this.#read().finally(() => (this.#reading = undefined)));
  }

  async #read(): Promise<void> {
    for (let reads = 1; ; reads += 1) {
      await this.#parts.settled();
      const startedAt = performance.now();
      const version = this.#parts.getVersion();
      this.#next = zero();
      add(this.#next, { openTasks: 0, ...this.#parts.getPending() }, 1);
      add(this.#next, this.#inFlight, 1);
      const { usage, ms } = await this.#parts.read();
      if (this.#parts.getVersion() !== version && reads < maxReads) continue;
      this.#known = usage;
      this.#since = this.#next;
      this.#readAt = startedAt;
      this.#readMs = ms;
      return;
    }
  }

  /** Counts a reservation until `settle`. */
  reserve(amounts: Amounts): void {
    add(this.#inFlight, amounts, 1);
    this.change(amounts, 1);
  }

  /** Ends a reservation: what it reserved is now stored, or not needed. */
  settle(amounts: Amounts, stored: boolean): void {
    add(this.#inFlight, amounts, -1);
    if (!stored) this.change(amounts, -1);
  }

  change(amounts: Amounts, sign: 1 | -1): void {
    add(this.#since, amounts, sign);
    if (this.#next !== this.#since) add(this.#next, amounts, sign);
  }
}

function zero(): Amounts {
  return { openTasks: 0, storedBytes: 0, webhookConfigs: 0 };
}

function add(to: Amounts, amounts: Amounts, sign: 1 | -1): void {
  to.openTasks += sign * amounts.openTasks;
  to.storedBytes += sign * amounts.storedBytes;
  to.webhookConfigs += sign * amounts.webhookConfigs;
}
