/** Reads settings of authentication as the api does, and calls its check. */
import assert from 'node:assert/strict';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';

/** Settings that the api needs, apart from those of authentication. */
export const base = {
  DATABASE_URL: 'postgres://localhost/none',
  GOOGLE_CLOUD_PROJECT: 'p',
  DISPATCHER_URL: 'http://localhost:1',
  ENCRYPTION_KEYS: `k:${Buffer.alloc(32).toString('base64')}`,
};
export const audience = 'https://agent.example';

export function readAuthConfig(env: Record<string, string>): AuthConfig {
  return readApiConfig({ ...base, ...env }).auth;
}

export function toBearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

export async function catchRefusal(promise: Promise<unknown>): Promise<UnauthenticatedError> {
  const error = await promise.then(
    () => assert.fail('the caller was accepted'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof UnauthenticatedError, String(error));
  return error;
}
