/** The keys of contents that are at Google: the master key in Cloud KMS, and wrapped data keys in a bucket. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { isPassing } from '#shared/db/client/errors.ts';
import { createKeyBucket } from '#shared/gcp/key-bucket.ts';
import { createKmsMasterKey } from '#shared/gcp/kms.ts';
import { listen } from '../../support/network/listen.ts';

describe('keys at Google', () => {
  const auth = async () => {
    const { GoogleAuth, PassThroughClient } = await import('google-auth-library');
    return new GoogleAuth({ authClient: new PassThroughClient() });
  };

  /** Starts a server that answers with a status and JSON. */
  async function serve(
    t: TestContext,
    answer: (request: IncomingMessage, body: string) => { status: number; body?: string },
  ): Promise<string> {
    const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const { status, body = '' } = answer(request, await text(request));
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    };
    const listener: RequestListener = (request, response) => void handle(request, response);
    return listen(t, createServer(listener));
  }

  const name = 'projects/p/locations/l/keyRings/r/cryptoKeys/k';
  const key = Buffer.alloc(32, 7);

  test('are wrapped by Cloud KMS for their owner only', async (t) => {
    const wrapped = new Map<string, string>();
    const paths = new Set<string | undefined>();
    const baseUrl = await serve(t, ({ url }, body) => {
      paths.add(url);
      const {
        plaintext,
        ciphertext = '',
        additionalAuthenticatedData: owner,
      } = JSON.parse(body) as Record<string, string>;
      if (plaintext === undefined) {
        const status = ciphertext.endsWith(`/${owner}`) ? 200 : 400;
        return { status, body: JSON.stringify({ plaintext: wrapped.get(ciphertext) }) };
      }
      const id = `${wrapped.size}/${owner}`;
      wrapped.set(id, plaintext);
      return { status: 200, body: JSON.stringify({ ciphertext: id }) };
    });
    const master = createKmsMasterKey(name, { baseUrl, auth: await auth() });
    const stored = await master.wrap(key, 'key:ada');
    assert.deepEqual(await master.unwrap(stored, 'key:ada'), key);
    await assert.rejects(master.unwrap(stored, 'key:bob'), { message: 'Cloud KMS answered 400' });
    assert.deepEqual([...paths], [`/v1/${name}:encrypt`, `/v1/${name}:decrypt`]);
  });

  test('are in no error of a call that fails', async (t) => {
    const baseUrl = await serve(t, () => ({ status: 503, body: '{}' }));
    const master = createKmsMasterKey(name, { baseUrl, auth: await auth() });
    for (const call of [master.wrap(key, 'key:ada'), master.unwrap('stored', 'key:ada')]) {
      const [result] = await Promise.allSettled<unknown>([call]);
      assert.ok(result?.status === 'rejected' && isPassing(result.reason));
      assert.ok(!inspect(result, { depth: 9, showHidden: true }).includes(key.toString('base64')));
    }
    const nowhere = createKmsMasterKey(name, { baseUrl: 'http://127.0.0.1:9', auth: await auth() });
    await assert.rejects(nowhere.wrap(key, 'key:ada'), { name: 'MasterKeyError' });
  });

  test('are kept in a bucket, and gone once they are deleted', async (t) => {
    const objects = new Map<string, string>();
    const baseUrl = await serve(t, ({ url = '', method }, body) => {
      const { pathname, searchParams } = new URL(url, 'http://bucket');
      if (method === 'POST') {
        assert.equal(pathname, '/upload/storage/v1/b/keys/o');
        objects.set(searchParams.get('name') ?? '', body);
        return { status: 200, body: '{}' };
      }
      const object = /^\/storage\/v1\/b\/keys\/o\/(.+)$/.exec(pathname)?.[1] ?? '';
      const found = objects.get(object);
      if (found === undefined) return { status: 404, body: '{}' };
      if (method === 'DELETE') objects.delete(object);
      return { status: method === 'DELETE' ? 204 : 200, ...(method === 'GET' && { body: found }) };
    });
    const store = createKeyBucket('keys', { baseUrl, auth: await auth() });
    await store.write('id', 'wrapped');
    assert.deepEqual([await store.read('id'), await store.read('other')], ['wrapped', undefined]);
    await store.delete('id');
    await store.delete('id');
    assert.equal(await store.read('id'), undefined);
  });
});
