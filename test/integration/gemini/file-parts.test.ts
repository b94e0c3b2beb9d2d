/** Files in messages: inline, in Cloud Storage, and by URL, fetched once under the guard of shared/net. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import type { Part } from '#shared/domain/message.ts';
import { think } from '#services/local/offline-model/responder.ts';
import { startOfflineModel, type OfflineModel } from '#services/local/offline-model/server.ts';
import type { GenerateRequest } from '#services/local/offline-model/wire.ts';
import { createFileFetcher, type FileFetcher } from '#services/worker/agent/files/fetch-file.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import { leastDefinition } from '../../support/agents/definition.ts';
import { Crash, MemoryTurn } from '../../support/agents/memory-turn.ts';

const pdf = Buffer.from('%PDF-1.7 a small one');

let offline: OfflineModel;
let asked: GenerateRequest[];
let files: FileFetcher;
let base: string;
let fetched: string[];

const answers: Record<string, RequestListener> = {
  '/report.pdf': (_, response) => response.setHeader('content-type', 'application/pdf').end(pdf),
  '/bytes.pdf': (_, response) => response.setHeader('content-type', 'binary/octet-stream').end(pdf),
  '/notes': (_, response) => response.setHeader('content-type', 'text/csv; charset=utf-8').end('a,b'),
  '/moved': (_, response) => response.writeHead(302, { location: '/report.pdf' }).end('gone'),
  '/inside': (_, response) => response.writeHead(307, { location: 'https://169.254.169.254/token' }).end(),
  '/round': (_, response) => response.writeHead(301, { location: '/round' }).end(),
  '/login.pdf': (_, response) => response.setHeader('content-type', 'text/html').end('<h1>Log in</h1>'),
  '/told.pdf': (_, response) => response.setHeader('content-length', 101).end(Buffer.alloc(101)),
  '/untold.pdf': (_, response) => {
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
  answers[request.url?.split('?')[0] ?? '']?.(request, response);
});

before(async () => {
  offline = await startOfflineModel({
    port: 0,
    responder: (request) => {
      asked.push(request);
      return think(request);
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  files = createFileFetcher({ allowHosts: ['127.0.0.1'], timeoutMs: 20_000, maxBytes: 100 });
});
beforeEach(() => {
  asked = [];
  fetched = [];
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await Promise.all([files.close(), offline.close()]);
});

const agent = (vertexai = false) =>
  createGeminiAgent({ client: { apiKey: 'any', baseUrl: offline.url, vertexai }, files });
const turnOf = (...message: Part[]) => new MemoryTurn({ message, definition: leastDefinition });
const inline = (mimeType: string, data: Buffer | string) => ({
  inlineData: { mimeType, data: Buffer.from(data).toString('base64') },
});

test('files by URL reach the model as inline data, under the type that is known of them', async () => {
  const turn = turnOf(
    { text: 'Compare.' },
    { url: `${base}/report.pdf` },
    { url: `${base}/bytes.pdf?signature=s` },
    { url: `${base}/moved`, mediaType: 'application/pdf', filename: 'x' },
    { url: `${base}/notes` },
    { raw: 'aGk=', mediaType: 'image/jpg' },
    { raw: Buffer.from('{}').toString('base64'), filename: 'a.json' },
  );
  assert.deepEqual(await agent().run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.deepEqual(asked[0]?.contents[0]?.parts, [
    { text: 'Compare.' },
    inline('application/pdf', pdf),
    inline('application/pdf', pdf),
    inline('application/pdf', pdf),
    inline('text/plain', 'a,b'),
    inline('image/jpeg', 'hi'),
    inline('text/plain', '{}'),
  ]);
});

test('a file is fetched once: a turn that runs again, and a later one of its task, have its content', async () => {
  const first = new MemoryTurn({
    message: [{ url: `${base}/report.pdf` }],
    definition: leastDefinition,
    crashAfter: 'file#1',
  });
  await assert.rejects(agent().run(first), Crash);
  const { message, steps } = first;
  const again = new MemoryTurn({ message: message.parts, definition: leastDefinition, steps });
  await agent().run(again);
  await agent().run(again.next('And in short?'));
  assert.deepEqual(fetched, ['/report.pdf']);
  assert.deepEqual(asked[1]?.contents[0], asked[0]?.contents[0]);
});

test('what cannot be had says why, and whether another attempt may help', async () => {
  const failures: [string, typeof FatalError | typeof RetryableError, RegExp][] = [
    [`${base}/inside`, FatalError, /must point to a public address/],
    [`${base}/round`, FatalError, /redirects more than 3 times/],
    [`${base}/login.pdf`, FatalError, /a web page came in its place/],
    [`${base}/told.pdf`, FatalError, /larger than 100 bytes/],
    [`${base}/untold.pdf`, FatalError, /larger than 100 bytes/],
    [
      `${base}/gone.pdf?key=secret`,
      FatalError,
      /\/gone\.pdf could not be fetched: the answer was status 404/,
    ],
    [`${base}/files.zip`, FatalError, /of the type application\/zip: it takes text, PDF/],
    [`${base}/down.pdf`, RetryableError, /status 503/],
    ['http://example.com/a.pdf', FatalError, /must start with https/],
    ['https://metadata.google.internal/a.pdf', FatalError, /a name of a private network/],
    ['file:///etc/passwd', FatalError, /must start with https/],
  ];
  for (const [url, kind, message] of failures) {
    await assert.rejects(agent().run(turnOf({ url })), (error: unknown) => {
      assert.ok(error instanceof kind, `${url}: ${String(error)}`);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
  await assert.rejects(
    agent().run(turnOf({ raw: 'aGk=', filename: 'a.exe' })),
    /a\.exe, whose type is not known/,
  );
  assert.equal(asked.length, 0);
});

test('a server that falls silent is given up, for now', async () => {
  const impatient = createFileFetcher({ allowHosts: ['127.0.0.1'], timeoutMs: 100 });
  await assert.rejects(
    impatient.fetch(`${base}/silent.pdf`, new AbortController().signal),
    (error: unknown) => error instanceof RetryableError && /took longer than 0.1 s/.test(error.message),
  );
  server.closeAllConnections();
  await impatient.close();
});

test('a name that resolves to a private address is refused when it is dialled', async () => {
  const guarded = createFileFetcher({ resolve: async () => ['10.0.0.7'] });
  await assert.rejects(
    guarded.fetch('https://files.example.com/a.pdf', new AbortController().signal),
    (error: unknown) => error instanceof FatalError && /its host is not public/.test(error.message),
  );
  await guarded.close();
});

test('Cloud Storage is read by Vertex AI alone, a video of YouTube by both APIs', async () => {
  const bucket = { url: 'gs://bucket/a.pdf' };
  await assert.rejects(
    agent().run(turnOf(bucket)),
    /in Cloud Storage, which this agent's model API cannot read/,
  );
  const video = { url: 'https://www.youtube.com/watch?v=1' };
  await agent(true).run(turnOf({ text: 'a' }, bucket, video));
  assert.deepEqual(asked[0]?.contents[0]?.parts?.slice(1), [
    { fileData: { fileUri: bucket.url, mimeType: 'application/pdf' } },
    { fileData: { fileUri: video.url, mimeType: 'video/mp4' } },
  ]);
  assert.deepEqual(fetched, []);
});
