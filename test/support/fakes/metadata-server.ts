/** Google's metadata server, which issues access and identity tokens for the service account on Cloud Run. */
import { createServer } from 'node:http';
import type { TestContext } from 'node:test';
import { listen } from '../network/listen.ts';

export interface MetadataServer {
  readonly host: string;
  /** The scopes of each token request, in order. */
  readonly scopes: string[];
  /** Sets the token that is issued from now on. */
  setToken(token: string): void;
  /** Answers requests for a token with this status from now on. */
  setStatus(status: number): void;
}

export async function startMetadataServer(t: TestContext): Promise<MetadataServer> {
  const scopes: string[] = [];
  let token = '';
  let status = 200;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://metadata');
    response.setHeader('metadata-flavor', 'Google');
    if (url.pathname.endsWith('/identity')) {
      const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
      const claims = { aud: url.searchParams.get('audience'), exp: Math.floor(Date.now() / 1000) + 3600 };
      return response.end(`${encode({ alg: 'none' })}.${encode(claims)}.signature`);
    }
    if (!url.pathname.endsWith('/token')) return response.end('ok');
    scopes.push(url.searchParams.get('scopes') ?? '');
    if (status !== 200) return response.writeHead(status).end();
    response.setHeader('content-type', 'application/json');
    // Short enough that the client requests a new token for the next connection.
    return response.end(JSON.stringify({ access_token: token, expires_in: 1, token_type: 'Bearer' }));
  });
  const { host } = new URL(await listen(t, server));
  return { host, scopes, setToken: (next) => (token = next), setStatus: (next) => (status = next) };
}
