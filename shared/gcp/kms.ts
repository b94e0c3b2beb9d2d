/**
 * A master key in Cloud KMS: wraps data keys by its REST API (projects.locations.keyRings.cryptoKeys, encrypt and decrypt). The
 * owner of a data key is additional authenticated data. Cloud KMS keeps earlier versions of the key, so that it can be rotated.
 */
import type { MasterKey } from '../crypto/content-cipher.ts';
import { MasterKeyError } from '../domain/errors.ts';
import { createKeyService, type KeyServiceOptions } from './key-service.ts';

const scope = 'https://www.googleapis.com/auth/cloudkms';

/** @param name `projects/P/locations/L/keyRings/R/cryptoKeys/K` */
export function createKmsMasterKey(
  name: string,
  { baseUrl = 'https://cloudkms.googleapis.com', auth }: KeyServiceOptions = {},
): MasterKey {
  const request = createKeyService('Cloud KMS', scope, auth);
  async function call(
    method: 'encrypt' | 'decrypt',
    owner: string,
    data: Readonly<Record<string, string>>,
  ): Promise<string> {
    const answer = await request<{ ciphertext?: string; plaintext?: string }>({
      url: `${baseUrl}/v1/${name}:${method}`,
      method: 'POST',
      data: { ...data, additionalAuthenticatedData: Buffer.from(owner).toString('base64') },
    });
    const result = method === 'encrypt' ? answer?.ciphertext : answer?.plaintext;
    if (result === undefined) throw new MasterKeyError('Cloud KMS answered without a key');
    return result;
  }
  return {
    wrap: (key, owner) => call('encrypt', owner, { plaintext: key.toString('base64') }),
    unwrap: async (ciphertext, owner) => Buffer.from(await call('decrypt', owner, { ciphertext }), 'base64'),
  };
}
