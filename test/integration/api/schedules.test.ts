/** The schedules extension over HTTP, on a real database. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { createEncryptor, parseEncryptionKeys } from '#shared/crypto/encryption.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { readAuth } from '#shared/runtime/config/auth.ts';
import { EnvReader } from '#shared/runtime/config/env-reader.ts';
import { createLogger } from '#shared/runtime/log.ts';
import type { Wakeup } from '#shared/domain/wakeup.ts';
import { createPushConfigs } from '#services/api/handler/push-configs.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { checkAnswers } from '../../support/clients/openapi.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { noLimits, unlimitedQuotas } from '../../support/services/quotas.ts';
import type { AnyJson as Json } from '../../support/clients/any-json.ts';

const { db } = await connectToTestDatabase();
const message = { role: 'ROLE_USER', parts: [{ text: 'hello' }] };
const daily = { cron: '0 9 * * 1-5', timeZone: 'Europe/Berlin', request: { message } };

describe('schedules extension', () => {
  const cleanup = createSuiteCleanup();
  const published: Wakeup[] = [];
  let url: string;

  before(async () => {
    const log = createLogger('test', 'silent');
    const keys = parseEncryptionKeys(`test:${randomBytes(32).toString('base64')}`).keys;
    const parts = {
      db,
      outbox: {
        publish: (wakeups: readonly Wakeup[]) => void published.push(...wakeups),
        publishAll: async () => undefined,
        idle: async () => undefined,
      },
      encryptor: createEncryptor(keys),
      quotas: unlimitedQuotas,
      wakeupGraceSeconds: 10,
      webhookRequestsPerMinute: 0,
      webhookGuard: { allowHosts: ['localhost'], ownHosts: [] },
    };
    const server = await startApiServer(
      cleanup,
      {},
      {
        auth: readAuth(new EnvReader(apiKeysEnv())),
        schedules: {
          ...parts,
          getLimits: async () => ({ ...noLimits, schedules: 3 }),
          pushConfigs: createPushConfigs(parts),
          mediaTypes: { input: ['text/plain'], output: ['text/plain'] },
          messageLimits: { parts: 100, urlParts: 20, partBytes: 10_000 },
          storeDefinition: () => storeAgent(db, 'h', {}),
          log,
        },
      },
    );
    ({ url } = server);
    await checkAnswers(cleanup, url);
  });

  async function call(
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = aliceKey,
  ): Promise<{ status: number; body: Json }> {
    const response = await fetch(`${url}/a2a/v1${path}`, {
      method,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  }

  test('creates, replaces, lists and deletes schedules', async () => {
    const created = await call('PUT', '/schedules/report', daily);
    assert.equal(created.status, 200, JSON.stringify(created.body));
    const { nextAt, createdAt, updatedAt, ...rest } = created.body;
    assert.deepEqual(rest, {
      id: 'report',
      ...daily,
      overlap: 'skip',
      catchUpSeconds: 3_600,
      paused: false,
    });
    assert.ok(Date.parse(nextAt) > Date.now() && createdAt <= updatedAt);
    const again = await call('PUT', '/schedules/report', { ...daily, overlap: 'queue' });
    assert.deepEqual([again.body.overlap, again.body.nextAt], ['queue', nextAt]);
    assert.deepEqual((await call('GET', '/schedules/report')).body, again.body);
    await call('PUT', '/schedules/a', { everySeconds: 10, request: { message } });
    const page = await call('GET', '/schedules?pageSize=1');
    assert.deepEqual(
      page.body.schedules.map(({ id }: Json) => id),
      ['a'],
    );
    const rest2 = await call('GET', `/schedules?pageToken=${page.body.nextPageToken}`);
    assert.deepEqual([rest2.body.schedules.length, rest2.body.nextPageToken], [1, '']);
    for (const id of ['a', 'report']) {
      assert.deepEqual(await call('DELETE', `/schedules/${id}`), { status: 200, body: {} });
      assert.equal((await call('DELETE', `/schedules/${id}`)).status, 404);
    }
  });

  test('pauses, resumes and runs a schedule, and reports its history', async () => {
    await call('PUT', '/schedules/report', { ...daily, paused: true });
    for (const _ of [1, 2]) {
      const { status, body } = await call('POST', '/schedules/report/run');
      assert.equal(status, 200);
      assert.ok(published.some((wakeup) => wakeup.taskId === body.taskId));
    }
    const paused = await call('POST', '/schedules/report/pause');
    assert.deepEqual([paused.body.paused, paused.body.nextAt], [true, undefined]);
    const resumed = await call('POST', '/schedules/report/resume');
    assert.ok(Date.parse(resumed.body.nextAt) > Date.now());
    const { body } = await call('GET', '/schedules/report/firings');
    assert.deepEqual(
      body.firings.map(({ state, manual }: Json) => [state, manual]),
      [
        ['started', true],
        ['started', true],
      ],
    );
    assert.equal(body.firings[0].taskId, (await call('GET', '/schedules/report')).body.lastTaskId);
    const first = await call('GET', '/schedules/report/firings?pageSize=1');
    const second = await call('GET', `/schedules/report/firings?pageToken=${first.body.nextPageToken}`);
    assert.deepEqual([...first.body.firings, ...second.body.firings], body.firings);
    await call('DELETE', '/schedules/report');
  });

  test('returns no secret of a webhook', async () => {
    const webhook = { url: 'http://localhost/hook', token: 'token-secret' };
    const request = { message, configuration: { taskPushNotificationConfig: webhook } };
    const { status, body } = await call('PUT', '/schedules/hook', { ...daily, request });
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.request.configuration.taskPushNotificationConfig.url, webhook.url);
    assert.ok(!JSON.stringify(body).includes('token-secret'));
    assert.equal((await call('POST', '/schedules/hook/run')).status, 200);
    await call('DELETE', '/schedules/hook');
  });

  test('are those of one caller in one tenant', async () => {
    await call('PUT', '/t/schedules/mine', daily);
    for (const [path, headers] of [
      ['/schedules/mine', aliceKey],
      ['/t/schedules/mine', bobKey],
    ] as const) {
      assert.equal((await call('GET', path, undefined, headers)).status, 404);
      for (const action of ['pause', 'resume', 'run']) {
        assert.equal((await call('POST', `${path}/${action}`, undefined, headers)).status, 404);
      }
      assert.equal((await call('GET', `${path}/firings`, undefined, headers)).status, 404);
      assert.equal((await call('DELETE', path, undefined, headers)).status, 404);
    }
    assert.equal((await call('GET', '/schedules?tenant=t')).body.schedules.length, 1);
    assert.equal((await call('GET', '/schedules', undefined, {})).status, 401);
    await call('DELETE', '/t/schedules/mine');
  });

  test('refuses a schedule beyond the limit of its owner, but replaces others', async () => {
    for (const id of ['1', '2', '3']) await call('PUT', `/schedules/${id}`, daily);
    const { status, body } = await call('PUT', '/t/schedules/4', daily);
    assert.equal(status, 429);
    assert.match(body.error.message, /You have 3 schedules, and your limit is 3: delete one/);
    assert.equal((await call('PUT', '/schedules/3', daily)).status, 200);
    for (const id of ['1', '2', '3']) await call('DELETE', `/schedules/${id}`);
  });

  test('refuses a schedule that is not valid with what is accepted', async () => {
    const everyTen = { everySeconds: 10 };
    const request = { message };
    const withMessage = (more: object) => ({ ...everyTen, request: { message: { ...message, ...more } } });
    const ext = 'https://longhaul.dev/ext/schedule/v1';
    for (const [body, expected] of [
      [{}, /needs either cron or everySeconds/],
      [{ ...daily, ...everyTen }, /needs either cron or everySeconds/],
      [{ ...daily, cron: '0 9 * *' }, /cron must have five fields/],
      [{ ...daily, cron: 5 }, /cron must be a string/],
      [{ ...daily, timeZone: 'Berlin' }, /timeZone "Berlin" is not known/],
      [{ everySeconds: 9, request }, /everySeconds must be a whole number from 10 to 31622400/],
      [{ everySeconds: 10.5, request }, /everySeconds must be a whole number/],
      [{ ...everyTen, timeZone: 'UTC', request }, /timeZone belongs to cron/],
      [{ ...daily, overlap: 'maybe' }, /overlap must be one of skip, queue, cancel, allow/],
      [{ ...daily, catchUpSeconds: 0 }, /catchUpSeconds must be a whole number from 10/],
      [{ ...daily, paused: 'no' }, /paused must be true or false/],
      [
        { ...daily, every: 5 },
        /^"every" is not a field of this request: it has cron, timeZone, everySeconds,/,
      ],
      [everyTen, /request must be an object/],
      [{ ...everyTen, request: {} }, /message is missing/],
      [withMessage({ messageId: 'm' }), /request.message.messageId must be omitted/],
      [withMessage({ taskId: randomUUID() }), /request.message.taskId must be omitted/],
      [withMessage({ role: 'ROLE_AGENT' }), /message.role must be ROLE_USER/],
      [withMessage({ parts: [] }), /message.parts is empty/],
      [withMessage({ referenceTaskIds: [randomUUID()] }), /referenceTaskIds was not found/],
      [{ ...everyTen, request: { message, metadata: { [ext]: {} } } }, /must be omitted: its times are/],
      [
        {
          ...everyTen,
          request: { message, configuration: { taskPushNotificationConfig: { url: 'ftp://x' } } },
        },
        /url is not valid/,
      ],
    ] as const) {
      const { status, body: answer } = await call('PUT', '/schedules/bad', body);
      assert.ok(status >= 400 && status < 500, `${status} ${JSON.stringify(body)}`);
      assert.match(answer.error.message, expected);
    }
    for (const id of ['a%20b', 'a%2Fb', '..%20', 'x'.repeat(129)]) {
      const { status, body } = await call('PUT', `/schedules/${id}`, daily);
      assert.equal(status, 400, id);
      assert.match(body.error.message, /the id of the schedule is not valid/);
    }
    assert.deepEqual((await call('GET', '/schedules')).body.schedules, []);
  });
});
