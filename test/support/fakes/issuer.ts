/** An OpenID Connect issuer for tests: real keys and tokens, and the two documents that verifiers fetch. */
import { createServer } from 'node:http';
import type { TestContext } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from 'jose';
import { listen } from '../listen.ts';

type Claims = { [K in keyof JWTPayload]: JWTPayload[K] | undefined };

export interface Issuer {
  readonly url: string;
  /** Number of fetches of each path. */
  readonly fetched: Map<string, number>;
  /** Signs a valid token with the given claims replaced. `undefined` omits a claim. */
  createToken(claims: Claims, options?: { kid?: string; expiresIn?: string | number }): Promise<string>;
}

export async function startIssuer(t: TestContext, alg = 'ES256'): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair(alg);
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg, use: 'sig' };
  const fetched = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    fetched.set(path, (fetched.get(path) ?? 0) + 1);
    const documents: Record<string, object> = {
      '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/keys` },
      '/keys': { keys: [jwk] },
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
        .sign(privateKey),
  };
}
