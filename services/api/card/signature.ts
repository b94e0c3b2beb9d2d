/** Signs agent cards (A2A section 8.4), so that clients can verify their origin and integrity. */
import { generateAgentCardSignature, type AgentCard } from '@a2a-js/sdk';
import { calculateJwkThumbprint, FlattenedSign, importJWK, type JWK } from 'jose';
import { toCanonicalJson } from '#shared/agent/canonical-hash.ts';
import type { SigningKey } from '#shared/runtime/config/api.ts';

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
  /** For clients; undefined if cards are not signed. */
  publicKey: JWK | undefined;
}

/** @throws if the key is not valid; the configuration has already checked its type */
export async function createCardSigner(key: SigningKey | undefined, publicUrl: string): Promise<CardSigner> {
  if (key === undefined) {
    return {
      sign: (card) => Promise.resolve(card),
      signJson: () => Promise.resolve(undefined),
      publicKey: undefined,
    };
  }
  const { jwk, alg } = key;
  // Without an id, the thumbprint of the key (RFC 7638) is used: the same in all processes, and unique per
  // key.
  const kid = jwk.kid ?? (await calculateJwkThumbprint(jwk));
  const { d: _private, key_ops: _operations, ...visible } = jwk;
  const privateKey = await importJWK({ ...jwk, alg }, alg);
  if (privateKey instanceof Uint8Array)
    throw new Error('CARD_SIGNING_KEY must be a private key, not a shared secret');
  const protectedHeader = { alg, kid, typ: 'JOSE', jku: `${publicUrl}${cardJwksPath}` };
  return {
    sign: generateAgentCardSignature(privateKey, protectedHeader),
    signJson: async (json) => {
      const payload = new TextEncoder().encode(toCanonicalJson(json));
      const jws = await new FlattenedSign(payload).setProtectedHeader(protectedHeader).sign(privateKey);
      return { protected: jws.protected, signature: jws.signature };
    },
    publicKey: { ...visible, kid, alg, use: 'sig' },
  };
}
