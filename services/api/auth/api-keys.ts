/**
 * API keys, stored as SHA-256 hashes. Keys of 128 random bits or more do not need a slow hash. The keys can be replaced
 * while the service runs: a key that is removed, or gets another owner, scopes or expiry, ends the calls that it holds
 * open.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { ApiKeyEntry } from '#shared/runtime/config/api-keys.ts';
import type { AuthenticatedCaller } from './caller.ts';
import { UnauthenticatedError } from './errors.ts';
import { Credential } from './credential.ts';

export const apiKeyHeader = 'x-api-key';

interface KnownKey {
  entry: ApiKeyEntry;
  credential: Credential;
  caller: AuthenticatedCaller;
}

export class ApiKeys {
  #known: readonly KnownKey[] = [];

  constructor(entries: readonly ApiKeyEntry[]) {
    this.use(entries);
  }

  /** Replaces all keys. Those that stay the same keep their open calls. */
  use(entries: readonly ApiKeyEntry[]): void {
    const before = new Map(this.#known.map((known) => [identify(known.entry), known]));
    this.#known = entries.map((entry) => before.get(identify(entry)) ?? toKnown(entry));
    const kept = new Set(this.#known);
    for (const known of before.values()) {
      if (!kept.has(known)) known.credential.end(`The API key in ${apiKeyHeader} was revoked or changed`);
    }
  }

  /**
   * Compares the key with all entries, so that the duration reveals nothing about them.
   *
   * @throws {UnauthenticatedError} if the key is unknown or has expired
   */
  find(key: string): AuthenticatedCaller {
    const sha256 = hash('sha256', key, 'buffer');
    let found: KnownKey | undefined;
    for (const known of this.#known) {
      if (timingSafeEqual(known.entry.sha256, sha256)) found = known;
    }
    if (found === undefined) throw new UnauthenticatedError(`The API key in ${apiKeyHeader} is unknown`);
    found.credential.check();
    return found.caller;
  }
}

/** Everything but the label, which only names the key. */
function identify({ owner, sha256, scopes, expiresAt }: ApiKeyEntry): string {
  return JSON.stringify([owner, sha256.toString('hex'), [...scopes], expiresAt ?? null]);
}

function toKnown(entry: ApiKeyEntry): KnownKey {
  const { owner, scopes, label, expiresAt } = entry;
  const credential = new Credential(
    expiresAt,
    `The API key in ${apiKeyHeader} has expired: ask the operator for a new one`,
  );
  const caller = { isAuthenticated: true, userName: `key:${owner}`, scopes, credential, keyLabel: label };
  return { entry, credential, caller };
}
