/** Signs agent cards (A2A section 8.4), so that clients can verify their origin and integrity. */
import { generateAgentCardSignature, type AgentCard } from '@a2a-js/sdk';
import { calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import type { SigningKey } from '#shared/runtime/config/api.ts';
import { cardJwksPath } from './routes.ts';

export interface CardSigner {
  sign(card: AgentCard): Promise<AgentCard>;
  /** For clients; undefined if cards are not signed. */
  publicKey: JWK | undefined;
}

/** @throws if the key is not valid; the configuration has already checked its type */
export async function createCardSigner(key: SigningKey | undefined, publicUrl: string): Promise<CardSigner> {
  if (key === undefined) return { sign: (card) => Promise.resolve(card), publicKey: undefined };
  const { jwk, alg } = key;
  // Without an id, the thumbprint of the key (RFC 7638) is used: the same in all processes, and unique per
  // key.
  const kid = jwk.kid ?? (await calculateJwkThumbprint(jwk));
  const { d: _private, key_ops: _operations, ...visible } = jwk;
  const privateKey = await importJWK({ ...jwk, alg }, alg);
  if (privateKey instanceof Uint8Array)
    throw new Error('CARD_SIGNING_KEY must be a private key, not a shared secret');
  return {
    sign: generateAgentCardSignature(privateKey, {
      alg,
      kid,
      typ: 'JOSE',
      jku: `${publicUrl}${cardJwksPath}`,
    }),
    publicKey: { ...visible, kid, alg, use: 'sig' },
  };
}
