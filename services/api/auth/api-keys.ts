/** API keys, stored as SHA-256 hashes. Keys of 128 random bits or more do not need a slow hash. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { ApiKeyEntry } from '#shared/runtime/config/auth.ts';
import { UnauthenticatedError, type AuthenticatedCaller } from './caller.ts';

export const apiKeyHeader = 'x-api-key';

/** Every lookup compares the key with all entries, so its duration reveals nothing about them. */
export function createApiKeys(entries: readonly ApiKeyEntry[]): (key: string) => AuthenticatedCaller {
  const known = entries.map(({ owner, sha256 }) => ({
    sha256,
    caller: { isAuthenticated: true, userName: `key:${owner}` },
  }));
  return (key) => {
    const sha256 = createHash('sha256').update(key).digest();
    let caller: AuthenticatedCaller | undefined;
    for (const entry of known) {
      if (timingSafeEqual(entry.sha256, sha256)) caller = entry.caller;
    }
    if (caller === undefined) throw new UnauthenticatedError(`The API key in ${apiKeyHeader} is unknown`);
    return caller;
  };
}
