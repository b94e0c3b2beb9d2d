/** Signs agent cards (A2A section 8.4), so that clients can verify their origin and integrity. */
import { generateAgentCardSignature, type AgentCard } from '@a2a-js/sdk';
import { calculateJwkThumbprint, FlattenedSign, importJWK, type JWK } from 'jose';
import { toCanonicalJson } from '#shared/agent/canonical-hash.ts';
import type { CardKey } from '#shared/crypto/card-keys.ts';

export const cardJwksPath = '/.well-known/jwks.json';

export interface CardSigner {
  sign(card: AgentCard): Promise<AgentCard>;
  /**
   * Signs JSON as it is sent: without `signatures`, in the form of RFC 8785. The SDK signs the fields that A2A 1.0
   * defines, and clients verify those that they know, or all that they received.
   *
   * @returns undefined if cards are not signed
   */
  signJson: (json: object) => Promise<object | undefined>;
  /** For clients; empty if cards are not signed. */
  publicKeys: readonly JWK[];
}

/** @throws if a key is not valid; the configuration has already checked their types */
export async function createCardSigner(keys: readonly CardKey[], publicUrl: string): Promise<CardSigner> {
  const [first] = keys;
  if (first === undefined) {
    return {
      sign: (card) => Promise.resolve(card),
      signJson: () => Promise.resolve(undefined),
      publicKeys: [],
    };
  }
  const { jwk, alg } = first;
  const privateKey = await importJWK({ ...jwk, alg }, alg);
  if (privateKey instanceof Uint8Array)
    throw new Error('CARD_SIGNING_KEY must be a private key, not a shared secret');
  const kid = await getKeyId(first);
  const protectedHeader = { alg, kid, typ: 'JOSE', jku: `${publicUrl}${cardJwksPath}` };
  return {
    sign: generateAgentCardSignature(privateKey, protectedHeader),
    signJson: async (json) => {
      const payload = new TextEncoder().encode(toCanonicalJson(json));
      const jws = await new FlattenedSign(payload).setProtectedHeader(protectedHeader).sign(privateKey);
      return { protected: jws.protected, signature: jws.signature };
    },
    publicKeys: await Promise.all(keys.map(toPublicKey)),
  };
}

async function toPublicKey(key: CardKey): Promise<JWK> {
  const { d: _private, key_ops: _operations, ...visible } = key.jwk;
  return { ...visible, kid: await getKeyId(key), alg: key.alg, use: 'sig' };
}

/** Without an id, the thumbprint of the key (RFC 7638) is used: the same in all processes, and unique per key. */
async function getKeyId({ jwk }: CardKey): Promise<string> {
  return jwk['kid'] ?? (await calculateJwkThumbprint(jwk));
}
