/** Signs agent cards (A2A section 8.4), so that clients can tell that a card is this agent's and unchanged. */
import { generateAgentCardSignature, type AgentCard } from '@a2a-js/sdk';
import { calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import type { SigningKey } from '#shared/runtime/config/api.ts';
import { jwksPath } from './routes.ts';

export interface CardSigner {
  sign(card: AgentCard): Promise<AgentCard>;
  /** For clients; undefined where cards are not signed. */
  publicKey: JWK | undefined;
}

/** @throws for a key that is not one; whether its kind is right the configuration has checked */
export async function createCardSigner(key: SigningKey | undefined, publicUrl: string): Promise<CardSigner> {
  if (key === undefined) return { sign: (card) => Promise.resolve(card), publicKey: undefined };
  const { jwk, alg } = key;
  // A key that does not say its id has its thumbprint (RFC 7638): the same in every process, another for another key.
  const kid = jwk.kid ?? (await calculateJwkThumbprint(jwk));
  const { d: _private, key_ops: _operations, ...visible } = jwk;
  const privateKey = await importJWK({ ...jwk, alg }, alg);
  if (privateKey instanceof Uint8Array) throw new Error('CARD_SIGNING_KEY is a secret, not a private key');
  return {
    sign: generateAgentCardSignature(privateKey, { alg, kid, typ: 'JOSE', jku: `${publicUrl}${jwksPath}` }),
    publicKey: { ...visible, kid, alg, use: 'sig' },
  };
}
