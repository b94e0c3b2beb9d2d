/**
 * Limits failed authentications by the address of the client, so that guessing credentials is slow and costs
 * next to nothing. An address over the limit is refused before its credentials are verified; even the right
 * ones are not confirmed. Credentials that were valid recently are verified in any case, so established
 * callers behind the same address keep their access.
 *
 * Its refusals take a moment, so that a client in a loop, which sends its next request when it has an answer, sends few.
 *
 * Failures are logged as a summary: an attacker decides how many there are.
 */
import { hash } from 'node:crypto';
import type { AuditLog } from '#shared/runtime/audit.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { TooManyRequestsError } from '../handler/errors.ts';
import { toAddressKey } from './client-address.ts';
import { countRefusal } from './refusals.ts';
import { TokenBuckets } from './token-buckets.ts';
import { apiKeyHeader } from '../auth/api-keys.ts';
import type { RequestHeaders } from '../auth/caller.ts';

/** Beyond this number, the credentials that have not been used for longest are forgotten. */
const maxKnown = 10_000;
/** Time for which valid credentials are known. */
const knownMs = 600_000;
/** Hashing the credentials of each request would take longer than everything else here. */
const recordEveryMs = 60_000;
/** Distinct addresses and reasons that a summary lists. */
const maxListed = 10;
/** Refusals that are held at once. Further ones are sent at once: a client with so many calls does not wait for them. */
const maxHeld = 256;

export interface AuthFailuresOptions {
  /** Failures of one address; 0: no limit. */
  perMinute: number;
  /** Interval between summaries, in milliseconds. */
  logEveryMs?: number;
  /** Time until the refusal of an address over the limit, in milliseconds. */
  holdMs?: number;
  /** Gets a summary, as the log does: an attacker decides how many failures there are. */
  audit?: AuditLog;
  log: Logger;
}

/** Everything since the last summary. */
interface Summary {
  failed: number;
  /** Refused before their credentials were verified. */
  notVerified: number;
  addresses: Set<string>;
  reasons: Set<string>;
}

export class AuthFailures {
  readonly #buckets: TokenBuckets | undefined;
  readonly #log: Logger;
  readonly #audit: AuditLog | undefined;
  readonly #logEveryMs: number;
  readonly #holdMs: number;
  #held = 0;
  /** Hashes of credentials and the time of their last use, ordered by it. */
  readonly #known = new Map<string, number>();
  readonly #recordedAt = new WeakMap<object, number>();
  #summary: Summary | undefined;

  constructor({ perMinute, logEveryMs = 10_000, holdMs = 200, audit, log }: AuthFailuresOptions) {
    this.#buckets = perMinute === 0 ? undefined : new TokenBuckets(perMinute);
    this.#logEveryMs = logEveryMs;
    this.#holdMs = holdMs;
    this.#log = log;
    this.#audit = audit;
  }

  /** @throws {TooManyRequestsError} if the address has too many failures and the credentials are not known */
  check(headers: RequestHeaders, getAddress: () => string): void {
    if (this.#buckets === undefined || this.#buckets.size === 0) return;
    const address = getAddress();
    const wait = this.#buckets.check(toAddressKey(address));
    if (wait === 0 || this.#isKnown(hashCredentials(headers))) return;
    countRefusal('authentication_rate');
    this.#summarize(address).notVerified += 1;
    throw new TooManyRequestsError(
      `Too many failed authentications from your address: try again in ${wait} s with valid credentials`,
      wait,
    );
  }

  /** Resolves when a refusal of `check` may be sent. */
  async hold(): Promise<void> {
    if (this.#held >= maxHeld || this.#holdMs === 0) return;
    this.#held += 1;
    await new Promise((resolve) => setTimeout(resolve, this.#holdMs));
    this.#held -= 1;
  }

  /** @param reason a message for clients, which contains no credentials */
  recordFailure(address: string, reason: string): void {
    countRefusal('unauthenticated');
    this.#buckets?.take(toAddressKey(address));
    const summary = this.#summarize(address);
    summary.failed += 1;
    if (summary.reasons.size < maxListed) summary.reasons.add(reason);
  }

  /** @param caller the same object for each request with the same key: its credentials are then hashed once a minute */
  recordSuccess(headers: RequestHeaders, caller: object): void {
    if (this.#buckets === undefined) return;
    const now = performance.now();
    if (now - (this.#recordedAt.get(caller) ?? -Infinity) < recordEveryMs) return;
    this.#recordedAt.set(caller, now);
    const credentials = hashCredentials(headers);
    this.#known.delete(credentials);
    this.#known.set(credentials, now);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= maxKnown) break;
      this.#known.delete(oldest);
    }
  }

  /** Logs what has not been logged yet. */
  flush(): void {
    if (this.#summary === undefined) return;
    const { failed, notVerified, addresses, reasons } = this.#summary;
    this.#summary = undefined;
    const fields = { failed, notVerified, addresses: [...addresses], reasons: [...reasons] };
    this.#log[notVerified > 0 ? 'warn' : 'info'](fields, 'authentication failed');
    this.#audit?.write({ action: 'refuse credentials', result: 'refused', details: fields });
  }

  #isKnown(credentials: string): boolean {
    const usedAt = this.#known.get(credentials);
    return usedAt !== undefined && performance.now() - usedAt < knownMs;
  }

  #summarize(address: string): Summary {
    if (this.#summary === undefined) {
      this.#summary = { failed: 0, notVerified: 0, addresses: new Set(), reasons: new Set() };
      setTimeout(() => this.flush(), this.#logEveryMs).unref();
    }
    if (this.#summary.addresses.size < maxListed) this.#summary.addresses.add(toAddressKey(address));
    return this.#summary;
  }
}

/** Hashed, so that no credentials are kept in memory. */
function hashCredentials(headers: RequestHeaders): string {
  const key = String(headers[apiKeyHeader]);
  const tokens = `${String(headers['authorization'])}\n${String(headers['x-serverless-authorization'])}`;
  return hash('sha256', `${key}\n${tokens}`, 'base64');
}
