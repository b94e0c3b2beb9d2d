/**
 * Google's identity tokens for services on Cloud Run that check them. google-auth-library caches a token until it expires.
 */
import type { IdTokenClient } from 'google-auth-library';

/**
 * @param audience the URL of the service, or a custom audience of it
 * @returns the value of the header Authorization
 * @throws {Error} if the credentials of this process give no identity token
 */
export type GetIdentityToken = (audience: string) => Promise<string>;

export function createIdentityTokens(): GetIdentityToken {
  const clients = new Map<string, Promise<IdTokenClient>>();
  return async (audience) => {
    const opening = clients.get(audience) ?? openClient(audience);
    clients.set(audience, opening);
    try {
      const headers = await (await opening).getRequestHeaders();
      const authorization = headers.get('authorization');
      if (authorization !== null) return authorization;
    } catch (error) {
      clients.delete(audience);
      throw error;
    }
    throw new Error('the credentials of this process give no identity token');
  };
}

async function openClient(audience: string): Promise<IdTokenClient> {
  const { GoogleAuth } = await import('google-auth-library');
  return new GoogleAuth().getIdTokenClient(audience);
}
