/**
 * Fairness between receivers (invariant 11): limits the attempts that this process makes at one host at a
 * time.
 *
 *   open ──10 failures in a row──▶ probing ──a success──▶ open
 *
 * An open host has a fixed number of slots. If it responds quickly, a few more attempts wait up to a second
 * for a slot. A probing host gets one attempt at a time, and at most one a second. An attempt without a slot
 * is deferred, and does not count. Probing does not defer a delivery that has failed three times: such
 * deliveries are rare, and the schedule of each config must continue and end.
 */

const failuresBeforeProbing = 10;
const probeIntervalMs = 1_000;
/** Attempts wait for a slot only if the host responds within this time on average. */
const quickMs = 500;
const maxWaitMs = 1_000;
/** Bounded, because waiting attempts keep requests of Cloud Tasks open. */
const maxWaitersPerSlot = 4;
/** Beyond this number, hosts without attempts in flight are forgotten. */
const maxHosts = 10_000;

export type HostSlot =
  /** The caller must call `release` when the attempt ends. `up`: the receiver accepts requests. */
  { kind: 'acquired'; release: (up: boolean) => void } | { kind: 'deferred'; delaySeconds: number };

interface Host {
  inFlight: number;
  failures: number;
  /** When the last attempt started, by `performance.now()`. */
  startedAt: number;
  /** A moving average. */
  latencyMs: number;
  waiting: (() => void)[];
}

export class HostLimits {
  readonly #concurrency: number;
  readonly #hosts = new Map<string, Host>();

  /** @param concurrency attempts at one host at a time */
  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** @param failures attempts at this delivery that failed before */
  async acquire(name: string, failures: number): Promise<HostSlot> {
    const host = this.#find(name);
    if (host.failures >= failuresBeforeProbing) {
      const mayProbe = host.inFlight === 0 && performance.now() - host.startedAt >= probeIntervalMs;
      if (!mayProbe && failures < 3) return defer(15);
    }
    if (host.inFlight >= this.#concurrency && !(await this.#waitForSlot(host))) {
      return defer(Math.min(Math.max(host.latencyMs / 1000, 0.25), 15));
    }
    return this.#start(host);
  }

  #start(host: Host): HostSlot {
    const startedAt = performance.now();
    host.inFlight += 1;
    host.startedAt = startedAt;
    return {
      kind: 'acquired',
      release: (up) => {
        host.inFlight -= 1;
        host.failures = up ? 0 : host.failures + 1;
        host.latencyMs += (performance.now() - startedAt - host.latencyMs) / 4;
        host.waiting.shift()?.();
      },
    };
  }

  async #waitForSlot(host: Host): Promise<boolean> {
    if (host.latencyMs > quickMs || host.waiting.length >= maxWaitersPerSlot * this.#concurrency)
      return false;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        host.waiting.splice(host.waiting.indexOf(wake), 1);
        resolve();
      }, maxWaitMs);
      host.waiting.push(wake);
    });
    return host.inFlight < this.#concurrency;
  }

  #find(name: string): Host {
    const known = this.#hosts.get(name);
    if (known !== undefined) return known;
    if (this.#hosts.size >= maxHosts) {
      for (const [other, { inFlight, waiting }] of this.#hosts) {
        if (inFlight === 0 && waiting.length === 0) this.#hosts.delete(other);
      }
    }
    const host: Host = { inFlight: 0, failures: 0, startedAt: 0, latencyMs: 0, waiting: [] };
    this.#hosts.set(name, host);
    return host;
  }
}

/** Jitter spreads attempts that were deferred together. */
function defer(seconds: number): HostSlot {
  return { kind: 'deferred', delaySeconds: seconds * (1 + Math.random()) };
}
