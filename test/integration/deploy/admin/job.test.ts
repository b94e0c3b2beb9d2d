/** deploy/admin.sh: commands for operators in the job of the migration, for both kinds of images. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { createServer } from 'node:http';
import { before, describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createJobOutput } from '#services/admin/job-output.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { readOwnLimits } from '#shared/db/owners/settings.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { runScript } from '../../../support/deploy/scripts.ts';
import { startSecretManager } from '../../../support/fakes/secret-manager.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

const fake = fileURLToPath(new URL('../../../support/deploy/fake-job.sh', import.meta.url));
const execution = fileURLToPath(new URL('../../../support/deploy/fake-job.ts', import.meta.url));
const images = [
  { image: 'this project', entry: 'services/migrate/main.ts', expected: 'services/admin/main.ts' },
  { image: 'an agent of its own', entry: 'migrate', expected: 'admin' },
];

let db: Db;
let url: string;
before(async () => {
  ({ db, url } = await connectToTestDatabase());
});

interface JobOptions {
  entry?: string;
  /** Variables of the api. */
  api?: Record<string, string>;
  /** More variables of the job. */
  job?: Record<string, string>;
  env?: Record<string, string>;
}

function createJob(t: TestContext, { entry = 'migrate', api = {}, job = {}, env = {} }: JobOptions = {}) {
  const dir = createTempDir(t);
  mkdirSync(path.join(dir, 'bin'));
  symlinkSync(fake, path.join(dir, 'bin/gcloud'));
  writeFileSync(path.join(dir, 'api'), JSON.stringify(describeApi(api)));
  const environment = {
    PATH: `${path.join(dir, 'bin')}:${process.env['PATH']}`,
    FAKE_PROJECT: dir,
    FAKE_NODE: process.execPath,
    FAKE_JOB: execution,
    FAKE_ENTRY: entry,
    FAKE_JOB_ENV: JSON.stringify({ DATABASE_URL: url, ...job }),
    ADMIN_POLL_SECONDS: '0',
    ADMIN_LOG_SECONDS: '0',
    ...env,
  };
  return {
    dir,
    run: (...args: string[]) => runScript('admin.sh', args, environment),
    readVariables: () => JSON.parse(readFileSync(path.join(dir, 'variables'), 'utf8')) as object,
  };
}

/** Describes an api with these variables, as gcloud does. */
function describeApi(api: Record<string, string>): object {
  const env = Object.entries(api).map(([name, value]) => ({ name, value }));
  const hidden = { name: 'ALLOY_DB_PASS', valueFrom: { secretKeyRef: { name: 'x', key: '1' } } };
  const containers = [{ name: 'alloydb-auth-proxy' }, { name: 'service', env: [...env, hidden] }];
  return { spec: { template: { spec: { containers } } } };
}

describe('admin.sh', () => {
  for (const { image, entry, expected } of images) {
    test(`prints the output of a command in an image of ${image}`, async (t) => {
      const api = { AUTH_MODES: 'jwt,api-key', OWNER_MAX_OPEN_TASKS: '7', PUBLIC_URL: 'https://a' };
      const job = createJob(t, { entry, api });
      const { code, output, errors } = await job.run('limits', '--json');
      assert.equal(code, 0, errors);
      const { defaults } = JSON.parse(output) as { defaults: Record<string, number> };
      assert.deepEqual([defaults['openTasks'], defaults['schedules']], [7, 1000], 'those of the api');
      assert.match(errors, new RegExp(`--container=service --args=${expected}\\\\,limits\\\\,--json`));
      assert.deepEqual(job.readVariables(), { AUTH_MODES: 'jwt,api-key', OWNER_MAX_OPEN_TASKS: '7' });
    });
  }

  test('sends the file of limits along', async (t) => {
    const file = path.join(createTempDir(t), 'limits.yaml');
    writeFileSync(file, 'owners:\n  key:a,b: { openTasks: 5, concurrentTurns: 6 }\n');
    const { code, output, errors } = await createJob(t).run('limits', 'apply', file);
    assert.equal(code, 0, errors);
    assert.equal(output, '+ key:a,b openTasks 5\n+ key:a,b concurrentTurns 6\n');
    assert.deepEqual((await readOwnLimits(db)).get('key:a,b'), { openTasks: 5, concurrentTurns: 6 });
    const missing = await createJob(t).run('limits', 'apply', '/nowhere');
    assert.match(missing.errors, /the file \/nowhere cannot be read/);
  });

  test('gives the encryption keys to reencrypt alone', async (t) => {
    const manager = await startSecretManager(t);
    const name = 'projects/my-project/secrets/longhaul-encryption-keys/versions/latest';
    manager.set(name, `k7:${Buffer.alloc(32, 1).toString('base64')}`);
    const api = { ENCRYPTION_KEYS: `sm://${name}` };
    const job = createJob(t, { api, job: { SECRET_MANAGER_EMULATOR_HOST: manager.host } });
    assert.equal((await job.run('versions')).code, 0);
    assert.deepEqual(job.readVariables(), {});
    const { code, output, errors } = await job.run('reencrypt');
    assert.equal(code, 0, errors);
    assert.match(output, /^re-encrypted 0 webhooks with the key "k7"$/m);
    assert.deepEqual(manager.reads, [name]);
  });

  test('exits with the status of the command, and prints its error', async (t) => {
    const refused = await createJob(t).run('forget', '--owner=key:a');
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /^forget expects --task with the id of a task, or --owner/m);
    const invalid = await createJob(t, { job: { DATABASE_POOL_SIZE: 'many' } }).run('versions');
    assert.equal(invalid.code, 78);
    assert.match(invalid.errors, /DATABASE_POOL_SIZE must be/);
    const unknown = await createJob(t).run('wrong');
    assert.deepEqual(
      [unknown.code, unknown.output.split('\n')[0]],
      [2, 'wrong is not a command. Expected one of these:'],
    );
  });

  test('writes an export to a bucket, and never to the log', async (t) => {
    const accept = createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 });
    for (let count = 0; count < 3; count += 1) await accept(newTask({ owner: 'key:exported' }));
    const refused = await createJob(t).run('export', '--owner=key:exported');
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /what a job prints is logged: export expects --to with an object/);

    const uploads: { url: string | undefined; body: string }[] = [];
    const server = createServer((request, response) => {
      void text(request).then((body) => {
        uploads.push({ url: request.url, body });
        response.writeHead(uploads.length > 1 ? 403 : 200).end('no right');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const address = server.address();
    const host = typeof address === 'object' ? `127.0.0.1:${address?.port}` : '';
    const job = createJob(t, { job: { STORAGE_EMULATOR_HOST: host } });
    const to = '--to=gs://my-bucket/of alice.ndjson';
    assert.match((await job.run('export', '--owner=key:exported', to)).errors, /and --to as gs:/);
    const target = ['export', '--owner=key:exported', '--to=gs://my-bucket/alice.ndjson'];
    const { code, output, errors } = await job.run(...target);
    assert.equal(code, 0, errors);
    assert.match(output, /^wrote \d lines to gs:\/\/my-bucket\/alice\.ndjson\n$/);
    assert.equal(uploads[0]?.url, '/upload/storage/v1/b/my-bucket/o?uploadType=media&name=alice.ndjson');
    const types = uploads[0].body.trimEnd().split('\n');
    assert.equal(types.filter((line) => line.startsWith('{"type":"task"')).length, 3);
    const denied = await job.run(...target);
    assert.match(denied.errors, /Cloud Storage answered 403 for gs:\/\/my-bucket\/alice\.ndjson: no right/);
  });

  test('says when the log does not have the whole output', async (t) => {
    const { code, errors } = await createJob(t, { env: { FAKE_LOST: 'true' } }).run('limits', '--all');
    assert.equal(code, 1);
    assert.match(
      errors,
      /its log has no complete output: gcloud run jobs executions describe longhaul-migrate-x7k2p/,
    );
  });

  test('refuses what gcloud would refuse, before it asks for anything', async (t) => {
    const repeated = await createJob(t).run('forget', '--owner', 'a', '--tenant', 'a', '--yes');
    assert.match(repeated.errors, /a is there twice, which gcloud refuses: write options as --name=value/);
    const option = await createJob(t).run('--jason', 'limits');
    assert.deepEqual([option.code, option.output], [64, '']);
  });
});

describe('the output of a job', () => {
  test('is numbered, and divided into entries that the log accepts', () => {
    const written: Record<string, unknown>[] = [];
    const output = createJobOutput((entry) => written.push(JSON.parse(entry) as Record<string, unknown>));
    output.print('');
    output.printError('x'.repeat(120_000));
    output.end(1);
    assert.deepEqual(
      written.map(({ entry, continues, severity }) => [entry, continues, severity]),
      [
        [1, false, 'INFO'],
        [2, true, 'ERROR'],
        [3, true, 'ERROR'],
        [4, false, 'ERROR'],
        [undefined, undefined, 'INFO'],
      ],
    );
    assert.deepEqual([written[4]?.['entries'], written[4]?.['status']], [4, 1]);
    assert.equal(
      written
        .slice(1, 4)
        .map(({ message }) => message)
        .join('').length,
      120_000,
    );
  });
});
