/** The challenge that a receiver must answer before its webhooks are accepted, on every way to name one. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { before, describe, test } from 'node:test';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { listen } from '../../support/network/listen.ts';

type Answer = (challenge: string) => { status?: number; body: string };

describe('a challenge of webhook receivers', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  let receiver: string;
  /** How each path answers. */
  const answers: Record<string, Answer> = {
    '/text': (challenge) => ({ body: challenge }),
    '/json': (challenge) => ({ body: JSON.stringify({ challenge }) }),
    '/other': () => ({ body: 'something else' }),
    '/refuses': (challenge) => ({ status: 404, body: challenge }),
    '/redirects': () => ({ status: 302, body: '' }),
    '/long': (challenge) => ({ body: challenge + ' '.repeat(100_000) + challenge }),
  };
  const asked: string[] = [];
  before(async () => {
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        const path = (request.url ?? '').split('?')[0] ?? '';
        const { type, challenge } = JSON.parse(text) as { type: string; challenge: string };
        assert.equal(type, 'longhaul.webhook.challenge');
        asked.push(path);
        const { status = 200, body } = answers[path]?.(challenge) ?? assert.fail(path);
        response.writeHead(status, { location: '/text' }).end(body);
      });
    });
    receiver = await listen(cleanup, server);
    api = await startApiService(cleanup, { WEBHOOK_CHALLENGE: 'true' });
  });

  const send = (url?: string) =>
    api.bindings[0]!.call('SendMessage', {
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'hi' }] },
      configuration: {
        returnImmediately: true,
        ...(url !== undefined && { taskPushNotificationConfig: { url } }),
      },
    });

  test('accepts receivers that answer with its text', async () => {
    const { result } = await send();
    for (const path of ['/text', '/json']) {
      const config = { taskId: result.task.id, id: '', url: receiver + path };
      const created = await api.bindings[1]!.call('CreateTaskPushNotificationConfig', config);
      assert.equal(created.error, undefined);
    }
  });

  test('refuses all others, and stores nothing', async () => {
    const { result } = await send();
    const refused: [path: string, reason: RegExp][] = [
      ['/other', /not the challenge/],
      ['/refuses', /answered with status 404/],
      ['/redirects', /answered with status 302/],
      ['/long', /not the challenge/],
    ];
    for (const [path, reason] of refused) {
      const url = receiver + path;
      const created = await api.bindings[1]!.call('CreateTaskPushNotificationConfig', {
        taskId: result.task.id,
        id: '',
        url,
      });
      assert.match(created.error?.message ?? '', reason);
      assert.match((await send(url)).error?.message ?? '', reason);
    }
    const closed = await send('http://127.0.0.1:9/hook');
    assert.match(closed.error?.message ?? '', /it did not answer. It must answer the challenge/);
    assert.doesNotMatch(closed.error?.message ?? '', /ECONNREFUSED/);
    const configs = await api.db.selectFrom('webhook_configs').select('url').execute();
    assert.deepEqual(configs.map(({ url }) => new URL(url).pathname).toSorted(), ['/json', '/text']);
  });

  test('asks for the webhook of a schedule, and each URL once', async () => {
    const put = async (path: string): Promise<number> => {
      const request = {
        message: { role: 'ROLE_USER', parts: [{ text: 'hi' }] },
        configuration: { taskPushNotificationConfig: { url: receiver + path } },
      };
      const response = await fetch(`${api.url}/a2a/v1/schedules/s`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
        body: JSON.stringify({ everySeconds: 3600, request }),
      });
      return response.status;
    };
    assert.equal(await put('/other'), 400);
    assert.equal(await put('/text?once'), 200);
    const before = asked.length;
    assert.equal(await put('/text?once'), 200);
    assert.equal(asked.length, before);
  });
});
