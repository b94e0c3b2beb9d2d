/**
 * Keeps wrapped data keys as objects of a bucket, by the JSON API of Cloud Storage. The bucket must keep no deleted objects: no
 * soft delete, no versions, no retention (docs/operate/data.md).
 */
import type { KeyStore } from '../crypto/content-cipher.ts';
import { createKeyService, type KeyServiceOptions } from './key-service.ts';

const scope = 'https://www.googleapis.com/auth/devstorage.read_write';

/** @param bucket the name of the bucket */
export function createKeyBucket(
  bucket: string,
  { baseUrl = 'https://storage.googleapis.com', auth }: KeyServiceOptions = {},
): KeyStore {
  const request = createKeyService('Cloud Storage', scope, auth);
  const path = `b/${encodeURIComponent(bucket)}/o`;
  const toUrl = (id: string): string => `${baseUrl}/storage/v1/${path}/${encodeURIComponent(toName(id))}`;
  return {
    write: async (id, wrapped) => {
      const query = new URLSearchParams({ uploadType: 'media', name: toName(id) });
      await request({
        url: `${baseUrl}/upload/storage/v1/${path}?${query.toString()}`,
        method: 'POST',
        headers: { 'content-type': 'text/plain' },
        data: wrapped,
      });
    },
    read: (id) => request<string>({ url: `${toUrl(id)}?alt=media`, responseType: 'text' }, 404),
    delete: async (id) => {
      await request({ url: toUrl(id), method: 'DELETE' }, 404);
    },
  };
}

function toName(id: string): string {
  return `${id}.key`;
}
