/** Calls of Google's services that hold keys. Their errors become MasterKeyError, and never contain what was sent: it is a key. */
import type { GoogleAuth } from 'google-auth-library';
import { MasterKeyError } from '../domain/errors.ts';

const timeoutMs = 5_000;

type Request = Parameters<GoogleAuth['request']>[0];

export interface KeyServiceOptions {
  /** Default: the service of Google. */
  baseUrl?: string | undefined;
  /** Sends a request with the credentials of this process. Default: those of google-auth-library. */
  auth?: Pick<GoogleAuth, 'request'> | undefined;
}

/**
 * Returns a function that sends a request and returns the body of its answer; undefined for the status `missing`.
 *
 * @throws {MasterKeyError} if the service does not answer, or refuses
 */
export function createKeyService(service: string, scope: string, auth?: Pick<GoogleAuth, 'request'>) {
  let opening: Promise<Pick<GoogleAuth, 'request'>> | undefined;
  return async function request<T>(options: Request, missing?: number): Promise<T | undefined> {
    try {
      const client = auth ?? (await (opening ??= openAuth(scope)));
      return (await client.request<T>({ ...options, timeout: timeoutMs })).data;
    } catch (error) {
      const { status, code } = error as { status?: number; code?: string };
      if (missing !== undefined && status === missing) return undefined;
      throw new MasterKeyError(
        `${service} ${status === undefined ? `failed: ${code ?? 'no answer'}` : `answered ${status}`}`,
      );
    }
  };
}

/** The library is large. It is loaded only if there is such a key. */
async function openAuth(scope: string): Promise<GoogleAuth> {
  const { GoogleAuth } = await import('google-auth-library');
  return new GoogleAuth({ scopes: [scope] });
}
