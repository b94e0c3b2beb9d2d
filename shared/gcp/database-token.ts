/**
 * AlloyDB's IAM authentication: an access token of the service account is the password. Asked for with each new
 * connection; google-auth-library keeps a token and renews it minutes before its end. Connections that are open stay open
 * when their token has ended.
 */
import type { GoogleAuth } from 'google-auth-library';

/** Good for logging in to AlloyDB, and for nothing else. */
const scope = 'https://www.googleapis.com/auth/alloydb.login';

export function createDatabaseToken(): () => Promise<string> {
  let opening: Promise<GoogleAuth> | undefined;
  return async () => {
    const auth = await (opening ??= open());
    const token = await auth.getAccessToken();
    if (typeof token !== 'string' || token === '') {
      throw new Error('DATABASE_AUTH=iam: the credentials of this process give no access token');
    }
    return token;
  };
}

async function open(): Promise<GoogleAuth> {
  const { GoogleAuth } = await import('google-auth-library');
  return new GoogleAuth({ scopes: [scope] });
}
