/**
 * Fairness between receivers (invariant 11): how many attempts this process makes at one host at a time.
 *
 *   open ──many failures in a row──▶ probing ──a success──▶ open
 *
 * While open, a host has so many attempts in flight; a few more wait for a moment where it answers quickly. While
 * probing, it has one at a time, and not more often than once a second. Whatever finds no place is put off, which is no
 * attempt. Those that have failed a few times already come seldom by themselves, and are not put off while probing: so
 * that the schedule of each config goes on, and ends.
 */

const failuresBeforeProbing = 10;
const probeEveryMs = 1_000;
const quickMs = 500;
const longestWaitMs = 1_000;
/** Waiting attempts hold requests of Cloud Tasks open. */
const waitersPerPlace = 4;
/** Beyond this many, hosts without attempts in flight are forgotten. */
const keptHosts = 10_000;

export type Entry =
  /** `leave` must be called, with whether the receiver took the webhook. */
  { kind: 'entered'; leave: (taken: boolean) => void } | { kind: 'put off'; delaySeconds: number };

interface Host {
  inFlight: number;
  failures: number;
  /** When the last attempt began, and how long attempts take, about; milliseconds. */
  begunAt: number;
  latencyMs: number;
  waiting: (() => void)[];
}

export class Hosts {
  readonly #atOnce: number;
  readonly #hosts = new Map<string, Host>();

  /** @param atOnce attempts at one host at a time */
  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** @param failedBefore attempts in a row that have failed before this one */
  async enter(name: string, failedBefore: number): Promise<Entry> {
    const host = this.#find(name);
    if (host.failures >= failuresBeforeProbing) {
      const mayProbe = host.inFlight === 0 && performance.now() - host.begunAt >= probeEveryMs;
      if (!mayProbe && failedBefore < 3) return putOff(15);
    }
    if (host.inFlight >= this.#atOnce && !(await this.#waitForPlace(host))) {
      return putOff(Math.min(Math.max(host.latencyMs / 1000, 0.25), 15));
    }
    return this.#begin(host);
  }

  #begin(host: Host): Entry {
    const begunAt = performance.now();
    host.inFlight += 1;
    host.begunAt = begunAt;
    return {
      kind: 'entered',
      leave: (taken) => {
        host.inFlight -= 1;
        host.failures = taken ? 0 : host.failures + 1;
        host.latencyMs += (performance.now() - begunAt - host.latencyMs) / 4;
        host.waiting.shift()?.();
      },
    };
  }

  async #waitForPlace(host: Host): Promise<boolean> {
    if (host.latencyMs > quickMs || host.waiting.length >= waitersPerPlace * this.#atOnce) return false;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        host.waiting.splice(host.waiting.indexOf(go), 1);
        resolve();
      }, longestWaitMs);
      host.waiting.push(go);
    });
    return host.inFlight < this.#atOnce;
  }

  #find(name: string): Host {
    const known = this.#hosts.get(name);
    if (known !== undefined) return known;
    if (this.#hosts.size >= keptHosts) {
      for (const [other, { inFlight, waiting }] of this.#hosts) {
        if (inFlight === 0 && waiting.length === 0) this.#hosts.delete(other);
      }
    }
    const host: Host = { inFlight: 0, failures: 0, begunAt: 0, latencyMs: 0, waiting: [] };
    this.#hosts.set(name, host);
    return host;
  }
}

/** Chance keeps apart what was put off together. */
function putOff(seconds: number): Entry {
  return { kind: 'put off', delaySeconds: seconds * (1 + Math.random()) };
}
