/**
 * Limits failed authentications by the address of the client, so that guessing credentials is slow and costs
 * next to nothing. An address over the limit is refused before its credentials are verified; even the right
 * ones are not confirmed. Credentials that were valid recently are verified in any case, so established
 * callers behind the same address keep their access.
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
/** Distinct addresses and reasons that a summary lists. */
const maxListed = 10;

export interface AuthFailuresOptions {
  /** Failures of one address; 0: no limit. */
  perMinute: number;
  /** Interval between summaries, in milliseconds. */
  logEveryMs?: number;
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
  /** Hashes of credentials and the time of their last use, ordered by it. */
  readonly #known = new Map<string, number>();
  #summary: Summary | undefined;

  constructor({ perMinute, logEveryMs = 10_000, audit, log }: AuthFailuresOptions) {
    this.#buckets = perMinute === 0 ? undefined : new TokenBuckets(perMinute);
    this.#logEveryMs = logEveryMs;
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

  /** @param reason a message for clients, which contains no credentials */
  recordFailure(address: string, reason: string): void {
    countRefusal('unauthenticated');
    this.#buckets?.take(toAddressKey(address));
    const summary = this.#summarize(address);
    summary.failed += 1;
    if (summary.reasons.size < maxListed) summary.reasons.add(reason);
  }

  recordSuccess(headers: RequestHeaders): void {
    if (this.#buckets === undefined) return;
    const credentials = hashCredentials(headers);
    this.#known.delete(credentials);
    this.#known.set(credentials, performance.now());
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
