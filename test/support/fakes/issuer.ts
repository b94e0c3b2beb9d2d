/** An OpenID Connect issuer for tests: real keys and tokens, and the two documents that verifiers fetch. */
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose';
import type { Cleanup } from '../cleanup.ts';
import { listen } from '../network/listen.ts';

type Claims = { [K in keyof JWTPayload]: JWTPayload[K] | undefined };

export interface Issuer {
  readonly url: string;
  /** Number of fetches of each path. */
  readonly fetched: Map<string, number>;
  /**
   * Signs a valid token with the given claims replaced. `undefined` omits a claim. The key `k1` signs, unless there is one of
   * the given id.
   */
  createToken(claims: Claims, options?: { kid?: string; expiresIn?: string | number }): Promise<string>;
  /** Publishes a new key from now on. */
  addKey(kid: string): Promise<void>;
  /** Publishes a key no longer. */
  removeKey(kid: string): void;
}

export async function startIssuer(t: Cleanup, alg = 'ES256'): Promise<Issuer> {
  const privateKeys = new Map<string, CryptoKey>();
  const published = new Map<string, JWK>();
  const addKey = async (kid: string): Promise<CryptoKey> => {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    privateKeys.set(kid, privateKey);
    published.set(kid, { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' });
    return privateKey;
  };
  const first = await addKey('k1');
  const fetched = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    fetched.set(path, (fetched.get(path) ?? 0) + 1);
    const documents: Record<string, object> = {
      '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/keys` },
      '/keys': { keys: [...published.values()] },
    };
    response.writeHead(documents[path] === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(documents[path] ?? {}));
  });
  const url = await listen(t, server);
  return {
    url,
    fetched,
    createToken: (claims, { kid = 'k1', expiresIn = '5m' } = {}) =>
      new SignJWT({ iss: url, aud: 'https://agent.example', sub: 'alice', ...claims } as JWTPayload)
        .setProtectedHeader({ alg, kid })
        .setIssuedAt()
        .setExpirationTime(expiresIn)
        .sign(privateKeys.get(kid) ?? first),
    addKey: async (kid) => void (await addKey(kid)),
    removeKey: (kid) => void published.delete(kid),
  };
}
