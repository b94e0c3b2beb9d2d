/**
 * AlloyDB's IAM authentication: the password is an access token of the service account, requested for each
 * new connection. google-auth-library caches the token and renews it minutes before it expires. Open
 * connections outlive their token.
 */
import type { GoogleAuth } from 'google-auth-library';

/** Allows logging in to AlloyDB, and nothing else. */
const scope = 'https://www.googleapis.com/auth/alloydb.login';

export function createDatabaseToken(): () => Promise<string> {
  let opening: Promise<GoogleAuth> | undefined;
  return async () => {
    const auth = await (opening ??= createAuth());
    const token = await auth.getAccessToken();
    if (typeof token !== 'string' || token === '') {
      throw new Error('DATABASE_AUTH=iam: the credentials of this process do not provide an access token');
    }
    return token;
  };
}

async function createAuth(): Promise<GoogleAuth> {
  const { GoogleAuth } = await import('google-auth-library');
  return new GoogleAuth({ scopes: [scope] });
}
