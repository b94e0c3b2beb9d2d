/**
 * Reads the public keys of an agent (RFC 7517). A set by URL is cached for ten minutes. It is read again when no key of
 * it matches, at most every 30 seconds, so that a rotation needs no restart and forged requests cause no load.
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

export interface JsonWebKeySet {
  keys: readonly JsonWebKey[];
}

const maxAgeMs = 600_000;
const cooldownMs = 30_000;
const timeoutMs = 5_000;

interface CachedSet {
  readAt: number;
  reading: Promise<KeyObject[]>;
}

const cache = new Map<string, CachedSet>();

/**
 * Tests the keys of a set until one matches.
 *
 * @throws {Error} if the set cannot be read: the sender should try again
 */
export async function someKey(
  jwks: string | URL | JsonWebKeySet,
  matches: (key: KeyObject) => boolean,
): Promise<boolean> {
  if (typeof jwks !== 'string' && !(jwks instanceof URL)) return importKeys(jwks).some(matches);
  const url = String(jwks);
  if ((await readCached(url, maxAgeMs)).some(matches)) return true;
  return (await readCached(url, cooldownMs)).some(matches);
}

async function readCached(url: string, maxAgeMs: number): Promise<KeyObject[]> {
  const cached = cache.get(url);
  if (cached !== undefined && Date.now() - cached.readAt < maxAgeMs) return cached.reading;
  const entry = { readAt: Date.now(), reading: readKeys(url) };
  cache.set(url, entry);
  try {
    return await entry.reading;
  } catch (error) {
    if (cache.get(url) === entry) cache.delete(url);
    throw error;
  }
}

async function readKeys(url: string): Promise<KeyObject[]> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return importKeys((await response.json()) as JsonWebKeySet);
  } catch (error) {
    throw new Error(`The keys of ${url} cannot be read: ${String(error)}.`, { cause: error });
  }
}

/** Keys of other types are ignored: an agent may add some. */
function importKeys(set: JsonWebKeySet): KeyObject[] {
  if (!Array.isArray(set?.keys)) throw new TypeError('jwks must be a URL or a JWK set: {"keys": […]}.');
  return set.keys
    .filter(({ kty, crv }) => kty === 'OKP' && crv === 'Ed25519')
    .map((key) => createPublicKey({ key, format: 'jwk' }));
}
