/**
 * The server's own keys for webhook signatures: a JWK set (RFC 7517) of Ed25519 keys (RFC 8037). The first
 * key signs. All public keys are published, so that receivers can verify a signature. To rotate without
 * downtime, append the new key everywhere, move it to the front once receivers have fetched it, then remove
 * the old one.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';

export interface WebhookKey {
  kid: string;
  /** Undefined if this process only publishes the key and cannot sign with it. */
  privateKey: KeyObject | undefined;
  publicJwk: JWK;
}

/** Path under which the api service publishes the public keys. */
export const webhookJwksPath = '/.well-known/webhook-jwks.json';

/** Parses a JWK set. Problems never contain a key. */
export function parseSigningKeys(text: string): { keys: WebhookKey[]; problems: string[] } {
  const keys: WebhookKey[] = [];
  const problems: string[] = [];
  const entries = parseEntries(text);
  if (entries === undefined || entries.length === 0) {
    return { keys, problems: ['must be a JWK set: {"keys": [{"kty": "OKP", "crv": "Ed25519", …}]}'] };
  }
  for (const [index, entry] of entries.entries()) {
    const which = `key ${index + 1}`;
    const { kty, crv, kid, x, d } = (entry ?? {}) as Record<string, unknown>;
    if (kty !== 'OKP' || crv !== 'Ed25519') {
      problems.push(`${which} must have "kty": "OKP" and "crv": "Ed25519"`);
    } else if (typeof kid !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(kid)) {
      problems.push(`the "kid" of ${which} must be 1 to 64 letters, digits, "-" or "_"`);
    } else if (keys.some((key) => key.kid === kid)) {
      problems.push(`the "kid" ${kid} is used twice`);
    } else {
      const key = typeof x === 'string' ? parseKey(kid, x, d) : undefined;
      if (key === undefined) problems.push(`the key ${kid} is not a valid Ed25519 key`);
      else keys.push(key);
    }
  }
  return { keys, problems };
}

/** Like `parseSigningKeys`. @throws {Error} listing every problem */
export function requireSigningKeys(text: string): WebhookKey[] {
  const { keys, problems } = parseSigningKeys(text);
  if (problems.length > 0) throw new Error(problems.join('; '));
  return keys;
}

export function publicJwks(keys: readonly WebhookKey[]): { keys: JWK[] } {
  return { keys: keys.map(({ publicJwk }) => publicJwk) };
}

function parseEntries(text: string): unknown[] | undefined {
  try {
    const { keys } = (JSON.parse(text) ?? {}) as { keys?: unknown };
    return Array.isArray(keys) ? keys : undefined;
  } catch {
    return undefined;
  }
}

function parseKey(kid: string, x: string, d: unknown): WebhookKey | undefined {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x };
  const publicJwk = { ...jwk, kid, alg: 'EdDSA', use: 'sig' };
  try {
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    if (d === undefined) return { kid, privateKey: undefined, publicJwk };
    if (typeof d !== 'string') return undefined;
    const privateKey = createPrivateKey({ key: { ...jwk, d }, format: 'jwk' });
    // With a mismatched public key, receivers would reject every webhook.
    return createPublicKey(privateKey).equals(publicKey) ? { kid, privateKey, publicJwk } : undefined;
  } catch {
    return undefined;
  }
}
