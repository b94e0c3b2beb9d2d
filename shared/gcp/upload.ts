/** Writes an object of Cloud Storage line by line, by the JSON API, so that it never has to be in memory. */
import { Readable } from 'node:stream';

const pattern = /^gs:\/\/([a-z0-9][a-z0-9._-]+)\/([^\s#?]+)$/;
const scope = 'https://www.googleapis.com/auth/devstorage.read_write';

export function isObjectUrl(url: string): boolean {
  return pattern.test(url);
}

/**
 * Replaces the object. If the lines fail, the object stays as it was.
 *
 * @param url `gs://BUCKET/NAME`
 * @param options.host `host:port` of a server in place of Google's, which wants no credentials
 * @throws {Error} if Cloud Storage refuses
 */
export async function uploadLines(
  url: string,
  lines: AsyncIterable<string>,
  { host }: { host?: string | undefined } = {},
): Promise<void> {
  const [, bucket = '', name = ''] = pattern.exec(url) ?? [];
  const base = host === undefined ? 'https://storage.googleapis.com' : `http://${host}`;
  const query = new URLSearchParams({ uploadType: 'media', name });
  const response = await fetch(`${base}/upload/storage/v1/b/${bucket}/o?${query.toString()}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...(host === undefined && (await authorize())) },
    body: Readable.toWeb(Readable.from(toChunks(lines))) as ReadableStream,
    duplex: 'half',
  });
  const answer = await response.text();
  if (!response.ok)
    throw new Error(`Cloud Storage answered ${response.status} for ${url}: ${answer.slice(0, 300)}`);
}

async function* toChunks(lines: AsyncIterable<string>): AsyncGenerator<Buffer> {
  for await (const line of lines) yield Buffer.from(`${line}\n`);
}

/** The library is large, and few processes need it. */
async function authorize(): Promise<{ authorization: string }> {
  const { GoogleAuth } = await import('google-auth-library');
  const token = await new GoogleAuth({ scopes: [scope] }).getAccessToken();
  return { authorization: `Bearer ${token}` };
}
