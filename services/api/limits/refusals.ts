/**
 * Counts what the service refuses or cuts off because of a limit, in metrics without names, and logs which callers it
 * concerned. The log is a summary: callers decide how many refusals there are.
 */
import type { OwnerLimit } from '#shared/domain/owner-limits.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import type { Logger } from '#shared/runtime/log.ts';

/** Values of the attribute `longhaul.refusal`; docs/operate/observability.md explains each. */
export type Refusal =
  | 'unauthenticated'
  | 'authentication_rate'
  | 'request_rate'
  | 'byte_rate'
  | 'open_calls'
  | 'receiving'
  | 'receive_timeout'
  | 'slow_reader'
  | 'connections'
  | 'health_watches'
  | 'webhook_requests';

/** Values of the attribute `longhaul.owner.limit`. */
const metricNames = {
  openTasks: 'open_tasks',
  storedBytes: 'stored_bytes',
  webhookConfigs: 'webhook_configs',
  webhookBytesPerHour: 'webhook_bytes_per_hour',
  modelCostPerDay: 'model_cost_per_day',
  schedules: 'schedules',
} as const satisfies Partial<Record<OwnerLimit, string>>;

/** The limits of owners that requests are checked against. */
export type RequestLimit = keyof typeof metricNames;

/** @param caller its name, or its address; undefined: it is in no summary */
export function countRefusal(refusal: Refusal, caller?: string): void {
  instruments.apiRefused.record(1, { 'longhaul.refusal': refusal });
  if (caller !== undefined) current?.add(caller, refusal);
}

export function countOwnerRefusal(owner: string, limit: RequestLimit): void {
  const name = metricNames[limit];
  instruments.ownerRefusals.record(1, { 'longhaul.owner.limit': name });
  current?.add(owner, name);
}

/** Callers and limits that a summary counts; further ones are in its total only. */
const maxCounted = 1_000;
/** Those with most refusals are listed. */
const maxListed = 10;

export class RefusalLog {
  readonly #log: Logger;
  readonly #logEveryMs: number;
  readonly #counts = new Map<string, { caller: string; limit: string; refused: number }>();
  #refused = 0;

  /** @param logEveryMs the interval between summaries, in milliseconds */
  constructor(log: Logger, logEveryMs = 10_000) {
    this.#log = log;
    this.#logEveryMs = logEveryMs;
  }

  add(caller: string, limit: string): void {
    if (this.#refused === 0) setTimeout(() => this.flush(), this.#logEveryMs).unref();
    this.#refused += 1;
    const key = JSON.stringify([caller, limit]);
    const count = this.#counts.get(key);
    if (count !== undefined) count.refused += 1;
    else if (this.#counts.size < maxCounted) this.#counts.set(key, { caller, limit, refused: 1 });
  }

  /** Logs what has not been logged yet. */
  flush(): void {
    if (this.#refused === 0) return;
    const callers = [...this.#counts.values()].toSorted((a, b) => b.refused - a.refused).slice(0, maxListed);
    this.#log.warn({ refused: this.#refused, callers }, 'requests refused because of limits');
    this.#refused = 0;
    this.#counts.clear();
  }
}

let current: RefusalLog | undefined;

/** Logs the refusals of this process. */
export function startRefusalLog(log: Logger): RefusalLog {
  return (current = new RefusalLog(log));
}
