/** API keys of callers in tests, and the environment that makes the api service accept them. */
import { createHash } from 'node:crypto';

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
