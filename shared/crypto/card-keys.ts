/**
 * The keys that sign agent cards: a JWK (RFC 7517) or a JWK set, P-256 (RFC 7518, section 6.2) or Ed25519 (RFC 8037). The
 * first key signs, and the public halves of all are published. To rotate without a card that cannot be verified, append
 * the new key everywhere, then move it to the front, then remove the old one.
 */
export interface CardKey {
  jwk: Readonly<Record<string, string>> & { kty: 'EC' | 'OKP' };
  alg: 'ES256' | 'EdDSA';
}

/** Returns undefined if there is no key, one of them is of another type, or the first one has no private half. */
export function parseCardKeys(text: string): CardKey[] | undefined {
  const keys = parseEntries(text).map(toCardKey);
  const known = keys.filter((key) => key !== undefined);
  const canSign = typeof known[0]?.jwk['d'] === 'string';
  return canSign && known.length === keys.length ? known : undefined;
}

function parseEntries(text: string): unknown[] {
  try {
    const json = JSON.parse(text) as { keys?: unknown } | null;
    return Array.isArray(json?.keys) ? json.keys : [json];
  } catch {
    // The content is a secret, and a parser error would quote it.
    return [];
  }
}

function toCardKey(entry: unknown): CardKey | undefined {
  const jwk = (entry ?? {}) as CardKey['jwk'];
  const curve = `${jwk.kty} ${jwk['crv']}`;
  if (curve === 'EC P-256') return { jwk, alg: 'ES256' };
  return curve === 'OKP Ed25519' ? { jwk, alg: 'EdDSA' } : undefined;
}
