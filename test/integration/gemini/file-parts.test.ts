/**
 * Files in messages: inline, in Cloud Storage, and by URL. A URL is fetched once, and only if shared/net allows its host.
 */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import type { Part } from '#shared/domain/message.ts';
import { createFileFetcher, type FileFetcher } from '#services/worker/agent/files/fetch-file.ts';
import { minimalDefinition } from '../../support/agents/definition.ts';
import { Crash, MemoryTurn } from '../../support/agents/memory-turn.ts';
import { useOfflineModel } from './use-offline-model.ts';

const pdf = Buffer.from('%PDF-1.7 a small one');

const offline = useOfflineModel();
let files: FileFetcher;
let base: string;
let fetched: string[];

const pages: Record<string, RequestListener> = {
  '/report.pdf': (_, response) => response.setHeader('content-type', 'application/pdf').end(pdf),
  '/bytes.pdf': (_, response) => response.setHeader('content-type', 'binary/octet-stream').end(pdf),
  '/notes': (_, response) => response.setHeader('content-type', 'text/csv; charset=utf-8').end('a,b'),
  '/moved': (_, response) => response.writeHead(302, { location: '/report.pdf' }).end('gone'),
  '/inside': (_, response) => response.writeHead(307, { location: 'https://169.254.169.254/token' }).end(),
  '/round': (_, response) => response.writeHead(301, { location: '/round' }).end(),
  '/login.pdf': (_, response) => response.setHeader('content-type', 'text/html').end('<h1>Log in</h1>'),
  '/declared.pdf': (_, response) => response.setHeader('content-length', 101).end(Buffer.alloc(101)),
  '/hundred.pdf': (_, response) =>
    response
      .setHeader('content-length', 100)
      .setHeader('content-type', 'application/pdf')
      .end(Buffer.alloc(100)),
  '/undeclared.pdf': (_, response) => {
    response.write(Buffer.alloc(60));
    response.end(Buffer.alloc(60));
  },
  '/silent.pdf': (_, response) => void response.write('%PDF'),
  '/gone.pdf': (_, response) => response.writeHead(404).end(),
  '/down.pdf': (_, response) => response.writeHead(503).end(),
  '/files.zip': (_, response) => response.setHeader('content-type', 'application/zip').end('PK'),
};
const server = createServer((request, response) => {
  fetched.push(request.url ?? '');
  pages[request.url?.split('?')[0] ?? '']?.(request, response);
});

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  files = createFileFetcher({ allowHosts: ['127.0.0.1'], timeoutMs: 20_000, maxBytes: 100 });
});
beforeEach(() => {
  fetched = [];
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await files.close();
});

const createAgent = (vertexai = false) =>
  offline.createAgent({ client: { ...offline.client, vertexai }, files, buckets: ['bucket', 'other'] });
const createTurn = (...message: Part[]) => new MemoryTurn({ message, definition: minimalDefinition });
const inline = (mimeType: string, data: Buffer | string) => ({
  inlineData: { mimeType, data: Buffer.from(data).toString('base64') },
});

describe('a file in a message', () => {
  test('reaches the model as inline data under its known type', async () => {
    const turn = createTurn(
      { text: 'Compare.' },
      { url: `${base}/report.pdf` },
      { url: `${base}/bytes.pdf?signature=s` },
      { url: `${base}/moved`, mediaType: 'application/pdf', filename: 'x' },
      { url: `${base}/notes` },
      { raw: 'aGk=', mediaType: 'image/jpg' },
      { raw: Buffer.from('{}').toString('base64'), filename: 'a.json' },
    );
    assert.deepEqual(await createAgent().run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(offline.requests[0]?.contents[0]?.parts, [
      { text: 'Compare.' },
      inline('application/pdf', pdf),
      inline('application/pdf', pdf),
      inline('application/pdf', pdf),
      inline('text/plain', 'a,b'),
      inline('image/jpeg', 'hi'),
      inline('text/plain', '{}'),
    ]);
  });

  test('is fetched once for all runs of its turn and later turns', async () => {
    const first = new MemoryTurn({
      message: [{ url: `${base}/report.pdf` }],
      definition: minimalDefinition,
      crashAfter: 'file#1',
    });
    await assert.rejects(createAgent().run(first), Crash);
    const { message, steps } = first;
    const rerun = new MemoryTurn({ message: message.parts, definition: minimalDefinition, steps });
    await createAgent().run(rerun);
    await createAgent().run(rerun.next('And in short?'));
    assert.deepEqual(fetched, ['/report.pdf']);
    assert.deepEqual(offline.requests[1]?.contents[0], offline.requests[0]?.contents[0]);
  });

  for (const [name, path, kind, message] of [
    ['a redirect to a private address', '/inside', FatalError, /public address/],
    ['endless redirects', '/round', FatalError, /redirects more than 3 times/],
    ['a web page in its place', '/login.pdf', FatalError, /the server sent a web page instead/],
    ['a declared size above the limit', '/declared.pdf', FatalError, /larger than 100 bytes/],
    ['an undeclared size above the limit', '/undeclared.pdf', FatalError, /larger than 100 bytes/],
    [
      'status 404, without the query of its URL',
      '/gone.pdf?key=secret',
      FatalError,
      /\/gone\.pdf could not be fetched: the server answered with status 404/,
    ],
    [
      'an unsupported type',
      '/files.zip',
      FatalError,
      /the type application\/zip is not supported \(expected text, PDF/,
    ],
    ['status 503, with another attempt', '/down.pdf', RetryableError, /status 503/],
    ['plain http', 'http://example.com/a.pdf', FatalError, /with https/],
    ['a host of a private network', 'https://metadata.google.internal/a.pdf', FatalError, /private network/],
    ['a file URL', 'file:///etc/passwd', FatalError, /with https/],
  ] satisfies [string, string, typeof FatalError | typeof RetryableError, RegExp][]) {
    test(`fails the turn after ${name}`, async () => {
      const url = path.startsWith('/') ? `${base}${path}` : path;
      await assert.rejects(createAgent().run(createTurn({ url })), (error: unknown) => {
        assert.ok(error instanceof kind, String(error));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
      assert.equal(offline.requests.length, 0);
    });
  }

  test('is not fetched once the files of the turn are too large', async () => {
    const agent = offline.createAgent({
      client: offline.client,
      files,
      downloads: { concurrency: 4, maxTurnFiles: 100, maxTurnBytes: 250 },
    });
    const turn = createTurn(...Array.from({ length: 45 }, () => ({ url: `${base}/hundred.pdf` })));
    await assert.rejects(agent.run(turn), (error: unknown) => {
      assert.ok(error instanceof FatalError, String(error));
      assert.match(error.message, /too large together: one turn can fetch at most 250 bytes/);
      return true;
    });
    assert.ok(turn.steps.size <= 2, `${turn.steps.size} files were recorded`);
    assert.ok(fetched.length <= 5, `${fetched.length} requests`);
  });

  test('fails the turn if its type is unknown', async () => {
    const running = createAgent().run(createTurn({ raw: 'aGk=', filename: 'a.exe' }));
    await assert.rejects(running, /cannot read a\.exe: its type is unknown/);
  });

  test('is read from Cloud Storage by Vertex AI', async () => {
    await createAgent(true).run(createTurn({ text: 'a' }, { url: 'gs://bucket/a.pdf' }));
    assert.deepEqual(offline.requests[0]?.contents[0]?.parts?.[1], {
      fileData: { fileUri: 'gs://bucket/a.pdf', mimeType: 'application/pdf' },
    });
    assert.deepEqual(fetched, []);
  });

  test('is read only from buckets that the operator opens to callers', async () => {
    for (const url of [
      'gs://secrets/a.pdf',
      'gs://bucket.evil/a.pdf',
      'gs://bucket',
      'gs://bucket/',
      'gs:///a.pdf',
      'gs://x@bucket/a.pdf',
      'gs://BUCKET/a.pdf',
    ]) {
      const running = createAgent(true).run(createTurn({ url }));
      await assert.rejects(running, /bucket that this agent does not open .* or from gs:\/\/bucket\/ or /);
    }
    const closed = offline.createAgent({ client: { ...offline.client, vertexai: true } });
    await assert.rejects(
      closed.run(createTurn({ url: 'gs://bucket/a.pdf' })),
      /inline or by an https URL\.$/,
    );
    assert.deepEqual(offline.requests, []);
  });

  test('is refused in Cloud Storage with the Developer API', async () => {
    await assert.rejects(
      createAgent().run(createTurn({ url: 'gs://bucket/a.pdf' })),
      /in Cloud Storage, which this agent's model API cannot read/,
    );
  });

  test('is read from YouTube by the model', async () => {
    const url = 'https://www.youtube.com/watch?v=1';
    await createAgent(true).run(createTurn({ text: 'a' }, { url }));
    assert.deepEqual(offline.requests[0]?.contents[0]?.parts?.[1], {
      fileData: { fileUri: url, mimeType: 'video/mp4' },
    });
    assert.deepEqual(fetched, []);
  });
});

describe('the file fetcher', () => {
  const { signal } = new AbortController();

  test('retries when a server stays silent', async (t) => {
    const impatient = createFileFetcher({ allowHosts: ['127.0.0.1'], timeoutMs: 2_000 });
    t.after(async () => {
      server.closeAllConnections();
      await impatient.close();
    });
    await assert.rejects(
      impatient.fetch(`${base}/silent.pdf`, signal),
      (error: unknown) =>
        error instanceof RetryableError && /its server sent nothing for 1 s/.test(error.message),
    );
  });

  test('refuses a name that resolves to a private address', async (t) => {
    const guarded = createFileFetcher({
      resolve: async function* () {
        yield ['10.0.0.7'];
      },
    });
    t.after(() => guarded.close());
    await assert.rejects(
      guarded.fetch('https://files.example.com/a.pdf', signal),
      (error: unknown) => error instanceof FatalError && /its host is not public/.test(error.message),
    );
  });
});
