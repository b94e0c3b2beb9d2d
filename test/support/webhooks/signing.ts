/** Signing keys for tests, as an operator creates them. */
import { generateKeyPairSync } from 'node:crypto';
import { parseSigningKeys, type WebhookKey } from '#shared/crypto/signing-keys.ts';

export function createSigningJwk(kid: string): Record<string, unknown> {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { ...privateKey.export({ format: 'jwk' }), kid };
}

export function createSigningKey(kid: string): WebhookKey {
  const { keys, problems } = parseSigningKeys(JSON.stringify({ keys: [createSigningJwk(kid)] }));
  if (keys[0] === undefined) throw new Error(problems.join());
  return keys[0];
}
