/** `longhaul/webhooks`, with the signatures that the dispatcher makes. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import express from 'express';
import { fastify } from 'fastify';
import {
  createMemoryDedupe,
  expressWebhook,
  fastifyWebhook,
  verify,
  WebhookError,
  type ReceiverOptions,
  type VerifyOptions,
  type WebhookEvent,
} from 'longhaul/webhooks';
import { Webhook } from 'standardwebhooks';
import { createWebhookToken, signWebhook } from '#services/dispatcher/signature.ts';
import { publicJwks, type WebhookKey } from '#shared/crypto/signing-keys.ts';
import { createSigningSecret } from '#shared/webhooks/secrets.ts';
import { listen } from '../../support/network/listen.ts';
import { createSigningKey } from '../../support/webhooks/signing.ts';

const secret = createSigningSecret();
const extension = 'https://longhaul.dev/ext/webhooks/v1';
const url = 'https://receiver.example/hook';
const status = { state: 'TASK_STATE_WORKING', timestamp: '2026-01-01T00:00:00.000Z' };

function createBody(event = 2, taskId = 'task-1', audience = url): string {
  const metadata = { [extension]: { event, audience } };
  return JSON.stringify({ statusUpdate: { taskId, contextId: 'context-1', status, metadata } });
}

interface Signed {
  id?: string;
  body?: string;
  ageSeconds?: number;
  secrets?: string[];
  keys?: WebhookKey[];
}

function sign({ id = 'msg_2', body = createBody(), ageSeconds = 0, secrets = [secret], keys = [] }: Signed) {
  const timestamp = Math.floor(Date.now() / 1000) - ageSeconds;
  const signature = signWebhook({ id, timestamp, body }, secrets, keys) ?? '';
  const headers: Record<string, string> = {
    'content-type': 'application/a2a+json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signature,
  };
  return { headers, body };
}

/** A webhook of a config without credentials, or with a changed claim. */
function signWithToken(key: WebhookKey, made: { id?: string; body?: string; to?: string } = {}) {
  const { headers, body } = sign({ secrets: [] });
  delete headers['webhook-signature'];
  const timestamp = Number(headers['webhook-timestamp']);
  const signable = { id: made.id ?? 'msg_2', timestamp, body: made.body ?? body };
  const to = { url: new URL(made.to ?? url), taskId: 'task-1', attempt: 1 };
  const token = createWebhookToken(signable, to, { keys: [key], issuer: 'https://agent.example' });
  const all: Record<string, string> = { ...headers, authorization: `Bearer ${token}` };
  return { headers: all, body };
}

function refused(code: string, message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof WebhookError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

describe('verify', () => {
  test('returns a typed event of the body', async () => {
    const event = await verify(sign({}), { secret });
    assert.ok(event.type === 'status');
    assert.equal(event.statusUpdate.status.state, 'TASK_STATE_WORKING');
    const { id, taskId, contextId, event: number, test, truncated } = event;
    assert.deepEqual(
      { id, taskId, contextId, number, test, truncated },
      {
        id: 'msg_2',
        taskId: 'task-1',
        contextId: 'context-1',
        number: 2,
        test: false,
        truncated: false,
      },
    );
  });

  test('returns tasks, artifacts, tests and tasks of A2A 0.3', async () => {
    const bodies: [object, Partial<WebhookEvent>][] = [
      [{ task: { id: 'task-1', status } }, { type: 'task', event: undefined }],
      [
        { artifactUpdate: { taskId: 'task-1', artifact: { artifactId: 'a', parts: [] } } },
        { type: 'artifact' },
      ],
      [
        { statusUpdate: { taskId: 'task-1', status, metadata: { [extension]: { test: true } } } },
        { type: 'status', test: true },
      ],
      [
        { kind: 'task', id: 'task-1', status: { state: 'working' } },
        { type: 'v0.3', taskId: 'task-1' },
      ],
    ];
    for (const [body, expected] of bodies) {
      assert.partialDeepStrictEqual(await verify(sign({ body: JSON.stringify(body) }), { secret }), expected);
    }
  });

  test('accepts the signatures of the library of Standard Webhooks', async () => {
    const { headers, body } = sign({});
    const sentAt = new Date(Number(headers['webhook-timestamp']) * 1000);
    headers['webhook-signature'] = new Webhook(secret).sign('msg_2', sentAt, body);
    assert.equal((await verify({ headers, body: Buffer.from(body) }, { secret })).taskId, 'task-1');
  });

  test('accepts a Request of the Fetch standard', async () => {
    const { headers, body } = sign({});
    const request = new Request('http://localhost/', { method: 'POST', headers, body });
    assert.equal((await verify(request, { secret })).taskId, 'task-1');
  });

  test('accepts either secret while one replaces the other', async () => {
    const next = createSigningSecret();
    await verify(sign({ secrets: [next, secret] }), { secret });
    await verify(sign({ secrets: [next] }), { secret: [secret, next] });
    await assert.rejects(
      verify(sign({ secrets: [next] }), { secret }),
      refused('signature', /No v1 signature/),
    );
  });

  test('verifies v1a by the keys of the agent', async () => {
    const [key, next] = [createSigningKey('one'), createSigningKey('two')];
    const jwks = publicJwks([key, next]);
    await verify(sign({ keys: [key] }), { jwks, url });
    await verify(sign({ keys: [next] }), { jwks, url });
    await assert.rejects(
      verify(sign({ keys: [createSigningKey('one')] }), { jwks, url }),
      refused('signature', /v1a/),
    );
    await assert.rejects(verify(sign({}), { jwks, url }), refused('signature', /no signing keys/));
  });

  test('verifies the token of a config without credentials', async () => {
    const key = createSigningKey('one');
    const jwks = publicJwks([createSigningKey('zero'), key]);
    const webhook = signWithToken(key);
    assert.equal((await verify(webhook, { jwks, url })).taskId, 'task-1');
    const { headers, body } = webhook;
    const late = String(Number(headers['webhook-timestamp']) + 1);
    const [head, claims] = headers['authorization']!.split('.');
    const refusals: [{ headers: Record<string, string>; body: string }, string, RegExp][] = [
      [signWithToken(createSigningKey('one')), 'signature', /not signed by a key/],
      [{ headers: { ...headers, authorization: `${head}.${claims}.AAAA` }, body }, 'signature', /not signed/],
      [{ headers: { ...headers, authorization: 'Bearer mine' }, body }, 'signature', /neither a token/],
      [{ headers: { ...headers, 'webhook-timestamp': late }, body }, 'signature', /another request/],
      [{ headers, body: `${body} ` }, 'signature', /another request/],
      [signWithToken(key, { id: 'msg_3' }), 'signature', /another request/],
      [signWithToken(key, { body: '{}' }), 'signature', /another request/],
      [signWithToken(key, { to: 'https://other.example/hook' }), 'audience', /not made for/],
    ];
    for (const [request, code, message] of refusals) {
      await assert.rejects(verify(request, { jwks, url }), refused(code, message));
    }
  });

  test('reads the keys again when they have rotated', async (t) => {
    const [key, next] = [createSigningKey('one'), createSigningKey('two')];
    let keys = [key];
    let reads = 0;
    const server = createServer((_, response) => {
      reads += 1;
      response.end(JSON.stringify(publicJwks(keys)));
    });
    const jwks = new URL('/jwks', await listen(t, server));
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    await verify(sign({ keys: [key] }), { jwks, url });
    await verify(sign({ keys: [key] }), { jwks, url });
    assert.equal(reads, 1);
    keys = [next, key];
    await assert.rejects(verify(sign({ keys: [next] }), { jwks, url }), refused('signature', /v1a/));
    t.mock.timers.tick(31_000);
    await verify(sign({ keys: [next] }), { jwks, url });
    assert.equal(reads, 2);
  });

  test('reports keys that cannot be read as an error of the receiver', async (t) => {
    const server = createServer((_, response) => response.writeHead(500).end());
    const jwks = await listen(t, server);
    const request = sign({ keys: [createSigningKey('one')] });
    await assert.rejects(verify(request, { jwks, url }), (error) => !(error instanceof WebhookError));
  });

  test('refuses a changed body, id or time', async () => {
    const { headers, body } = sign({});
    const changed: [object, string][] = [
      [headers, body.replace('WORKING', 'COMPLETED')],
      [{ ...headers, 'webhook-id': 'msg_3' }, body],
      [{ ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) }, body],
      [{ ...headers, 'webhook-signature': 'v1,AAAA v2,AAAA' }, body],
    ];
    for (const [headers, body] of changed) {
      const request = { headers: headers as Record<string, string>, body };
      await assert.rejects(verify(request, { secret }), refused('signature', /No v1 signature/));
    }
  });

  test('refuses an id with dots, with which the signed text has two readings', async () => {
    const request = sign({ id: 'task-1.hook.2' });
    await assert.rejects(verify(request, { secret }), refused('malformed', /must have no dots/));
  });

  test('refuses a webhook that was made for another receiver', async () => {
    const key = createSigningKey('one');
    const jwks = publicJwks([key]);
    const other = sign({ body: createBody(2, 'task-1', 'https://other.example/hook'), keys: [key] });
    const none = sign({ body: JSON.stringify({ task: { id: 'task-1', status } }), keys: [key] });
    for (const request of [other, none]) {
      for (const options of [
        { jwks, url },
        { secret, url },
      ]) {
        await assert.rejects(verify(request, options), refused('audience', /not made for https:/));
      }
      await verify(request, { secret });
    }
    await verify(sign({ keys: [key] }), { jwks, url: new URL(url) });
    await assert.rejects(verify(other, { jwks, url: '' }), /url must be the URL/);
  });

  test('refuses requests outside the tolerance', async () => {
    for (const ageSeconds of [310, -310]) {
      await assert.rejects(verify(sign({ ageSeconds }), { secret }), refused('expired', /at most 300 s/));
    }
    await verify(sign({ ageSeconds: 310 }), { secret, toleranceSeconds: 600 });
  });

  test('names the header that is missing', async () => {
    for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) {
      const { headers, body } = sign({});
      delete headers[name];
      await assert.rejects(verify({ headers, body }, { secret }), refused('malformed', new RegExp(name)));
    }
  });

  test('refuses signed bodies that are not events', async () => {
    for (const body of ['', 'text', '[]', '{}', '{"statusUpdate":{}}']) {
      await assert.rejects(verify(sign({ body }), { secret }), refused('malformed', /^The body/));
    }
  });

  test('reports invalid options and parsed bodies', async () => {
    const { headers, body } = sign({});
    const options: [object, RegExp][] = [
      [{}, /exactly one of secret and jwks/],
      [{ secret, jwks: { keys: [] } }, /exactly one/],
      [{ secret: [] }, /must not be empty/],
      [{ secret: 'whsec_short' }, /24 to 64 bytes/],
    ];
    for (const [option, message] of options) {
      await assert.rejects(verify({ headers, body }, option as VerifyOptions), {
        name: 'TypeError',
        message,
      });
    }
    const parsed = { headers, body: JSON.parse(body) as string };
    await assert.rejects(verify(parsed, { secret }), { name: 'TypeError', message: /not a parsed value/ });
  });
});

describe('the memory of handled events', () => {
  test('handles an id once, even if it arrives twice at the same time', async () => {
    const dedupe = createMemoryDedupe();
    let calls = 0;
    const handle = async (): Promise<void> => void (calls += 1);
    const results = await Promise.all([dedupe.once('a', handle), dedupe.once('a', handle)]);
    assert.deepEqual(
      [...results, await dedupe.once('b', handle), calls],
      ['handled', 'repeated', 'handled', 2],
    );
  });

  test('handles an id again whose handler failed', async () => {
    const dedupe = createMemoryDedupe();
    await assert.rejects(dedupe.once('a', async () => assert.fail('busy')));
    assert.equal(await dedupe.once('a', async () => undefined), 'handled');
  });

  test('forgets the oldest ids above its limit', async () => {
    const dedupe = createMemoryDedupe({ maxIds: 1 });
    for (const id of ['a', 'b', 'a']) assert.equal(await dedupe.once(id, async () => undefined), 'handled');
  });
});

type Start = (t: TestContext, options: ReceiverOptions) => Promise<string>;

const startExpress: Start = async (t, options) => {
  const app = express();
  app.post('/hook', expressWebhook(options));
  app.use(
    ((_error, _request, response, _next) => void response.status(500).end()) as express.ErrorRequestHandler,
  );
  return listen(t, createServer(app));
};
const startFastify: Start = async (t, options) => {
  const app = fastify();
  app.post('/other', async ({ body }) => body);
  await app.register(fastifyWebhook({ path: '/hook', ...options }));
  t.after(() => app.close());
  return app.listen({ port: 0 });
};

async function post(url: string, { headers, body }: ReturnType<typeof sign>): Promise<Response> {
  return fetch(`${url}/hook`, { method: 'POST', headers, body });
}

for (const [name, start] of Object.entries({ Express: startExpress, Fastify: startFastify })) {
  describe(`the receiver of ${name}`, () => {
    test('hands over events of every content type, and answers 204', async (t) => {
      const events: WebhookEvent[] = [];
      const url = await start(t, { secret, onEvent: (event) => void events.push(event) });
      for (const type of ['application/a2a+json', 'application/json']) {
        const request = sign({});
        request.headers['content-type'] = type;
        assert.equal((await post(url, request)).status, 204);
      }
      assert.deepEqual(
        events.map(({ id }) => id),
        ['msg_2', 'msg_2'],
      );
    });

    test('drops repeats, and answers them with 204', async (t) => {
      let calls = 0;
      const url = await start(t, { secret, dedupe: createMemoryDedupe(), onEvent: () => void (calls += 1) });
      for (let n = 0; n < 2; n += 1) assert.equal((await post(url, sign({}))).status, 204);
      assert.equal(calls, 1);
    });

    test('answers 401 with the reason, 400, 413, and 500 for a failed handler', async (t) => {
      const onEvent = (): void => assert.fail('not stored');
      const url = await start(t, { secret, onEvent, maxBodyBytes: 1000 });
      const forged = await post(url, sign({ secrets: [createSigningSecret()] }));
      assert.deepEqual([forged.status, await forged.json()], [401, { error: 'No v1 signature matches.' }]);
      assert.equal((await post(url, { headers: {}, body: '' })).status, 400);
      assert.equal((await post(url, sign({ body: ' '.repeat(2000) }))).status, 413);
      assert.equal((await post(url, sign({}))).status, 500);
    });
  });
}

describe('the receiver of Express', () => {
  test('reports a parser that has read the body before', async (t) => {
    const app = express();
    let reported: unknown;
    app.use(express.json({ type: '*/*' }));
    app.post('/hook', expressWebhook({ secret, onEvent: () => undefined }));
    app.use(((error, _request, response, _next) => {
      reported = error;
      response.status(500).end();
    }) as express.ErrorRequestHandler);
    assert.equal((await post(await listen(t, createServer(app)), sign({}))).status, 500);
    assert.match(String(reported), /before parsers such as express\.json/);
  });
});

describe('the receiver of Fastify', () => {
  test('leaves the parsers of other routes as they are', async (t) => {
    const url = await startFastify(t, { secret, onEvent: () => undefined });
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${url}/other`, { method: 'POST', headers, body: '{"a":1}' });
    assert.deepEqual(await response.json(), { a: 1 });
  });
});
