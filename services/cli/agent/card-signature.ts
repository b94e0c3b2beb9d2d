/**
 * Verifies the signatures of an agent card (A2A section 8.4): JWS over the card in the form of RFC 8785. Signers differ
 * on which fields they cover, so a signature counts if it covers the document as received, or its fields of A2A 1.0.
 */
import { canonicalizeAgentCard } from '@a2a-js/sdk';
import { createLocalJWKSet, decodeProtectedHeader, flattenedVerify, type JSONWebKeySet } from 'jose';
import { toCanonicalJson } from '#shared/agent/canonical-hash.ts';
import type { FetchedCard } from './card.ts';
import { request } from './http.ts';

export interface SignatureResult {
  /** Id of the key, as the signature names it. */
  kid: string;
  /** Address of the key set that has the key. */
  key: string;
  /** Undefined: the signature is valid. */
  problem?: string;
}

export async function verifyCard(fetched: FetchedCard): Promise<SignatureResult[]> {
  const { signatures, ...document } = fetched.raw;
  if (!Array.isArray(signatures)) return [];
  const payloads = [toCanonicalJson(document), canonicalizeAgentCard(fetched.card)].map((payload) =>
    Buffer.from(payload).toString('base64url'),
  );
  const results: SignatureResult[] = [];
  for (const entry of signatures as unknown[]) results.push(await verify(entry, payloads, fetched.url));
  return results;
}

async function verify(
  entry: unknown,
  payloads: readonly string[],
  cardUrl: string,
): Promise<SignatureResult> {
  const result = { kid: 'unnamed key', key: '' };
  try {
    const { protected: protectedHeader, signature } = entry as { protected: string; signature: string };
    const { kid, jku, alg } = decodeProtectedHeader({ protected: protectedHeader });
    result.kid = kid ?? result.kid;
    if (alg === undefined || kid === undefined)
      return { ...result, problem: 'has no alg or no kid in its header' };
    // Without an address, the key set is expected next to the card.
    result.key = typeof jku === 'string' ? jku : new URL('/.well-known/jwks.json', cardUrl).href;
    const response = await request(result.key);
    if (!response.ok)
      return { ...result, problem: `its key set ${result.key} has status ${response.status}` };
    const keys = createLocalJWKSet((await response.json()) as JSONWebKeySet);
    let reason = '';
    for (const payload of payloads) {
      try {
        await flattenedVerify({ payload, protected: protectedHeader, signature }, keys);
        return result;
      } catch (error) {
        reason = (error as Error).message;
      }
    }
    return { ...result, problem: `not valid: ${reason}` };
  } catch (error) {
    return { ...result, problem: `cannot be verified: ${(error as Error).message}` };
  }
}
