/** API keys of callers in tests, and the environment that makes the api service accept them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { requireApiKeys, type ApiKeyEntry } from '#shared/runtime/config/api-keys.ts';

export const aliceKey = { 'x-api-key': 'alice-key-of-a-test' };
export const bobKey = { 'x-api-key': 'bob-key-of-a-test' };
export const carolKey = { 'x-api-key': 'carol-key-of-a-test' };

export function apiKeysEnv(): Record<string, string> {
  const entries = Object.entries({ alice: aliceKey, bob: bobKey, carol: carolKey }).map(
    ([owner, headers]) => `${owner}:${sha256(headers['x-api-key'])}`,
  );
  return { AUTH_MODES: 'api-key', API_KEYS: entries.join(',') };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The entry of a key without label and expiry, which has the usual scopes. */
export function createKeyEntry(owner: string, key: string): ApiKeyEntry {
  const [entry = assert.fail()] = requireApiKeys(`${owner}:${sha256(key)}`);
  return entry;
}
