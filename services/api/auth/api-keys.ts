/** API keys, known by their hashes only. A key of 128 random bits or more needs no slow hash. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { ApiKeyEntry } from '#shared/runtime/config/auth.ts';
import { UnauthenticatedError, type AuthenticatedCaller } from './caller.ts';

export const apiKeyHeader = 'x-api-key';

/** Each lookup looks at every entry, so that its time tells nothing about which ones are near. */
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
    if (caller === undefined) throw new UnauthenticatedError(`The API key in ${apiKeyHeader} is not known`);
    return caller;
  };
}
