/** Commands of deploy/admin.sh with secrets, a bucket, errors and a log that is not complete. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { before, describe, test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { createJob } from '../../../support/deploy/job.ts';
import { startSecretManager } from '../../../support/fakes/secret-manager.ts';

let db: Db;
let url: string;
before(async () => {
  ({ db, url } = await connectToTestDatabase());
});

describe('admin.sh', () => {
  test('gives the encryption keys to reencrypt alone', async (t) => {
    const manager = await startSecretManager(t);
    const name = 'projects/my-project/secrets/longhaul-encryption-keys/versions/latest';
    manager.set(name, `k7:${Buffer.alloc(32, 1).toString('base64')}`);
    const api = { ENCRYPTION_KEYS: `sm://${name}` };
    const job = createJob(t, url, { api, job: { SECRET_MANAGER_EMULATOR_HOST: manager.host } });
    assert.equal((await job.run('versions')).code, 0);
    assert.deepEqual(job.readVariables(), {});
    const { code, output, errors } = await job.run('reencrypt');
    assert.equal(code, 0, errors);
    assert.match(output, /^re-encrypted 0 webhooks with the key "k7"$/m);
    assert.deepEqual(manager.reads, [name]);
  });

  test('exits with the status of the command, and prints its error', async (t) => {
    const refused = await createJob(t, url).run('forget', '--owner=key:a');
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /^forget expects --task with the id of a task, or --owner/m);
    const invalid = await createJob(t, url, { job: { DATABASE_POOL_SIZE: 'many' } }).run('versions');
    assert.equal(invalid.code, 78);
    assert.match(invalid.errors, /DATABASE_POOL_SIZE must be/);
    const unknown = await createJob(t, url).run('wrong');
    assert.deepEqual(
      [unknown.code, unknown.output.split('\n')[0]],
      [2, 'wrong is not a command. Expected one of these:'],
    );
  });

  test('writes an export to a bucket, and never to the log', async (t) => {
    const accept = createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 });
    for (let count = 0; count < 3; count += 1) await accept(newTask({ owner: 'key:exported' }));
    const refused = await createJob(t, url).run('export', '--owner=key:exported');
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
    const job = createJob(t, url, { job: { STORAGE_EMULATOR_HOST: host } });
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
    const { code, errors } = await createJob(t, url, { env: { FAKE_LOST: 'true' } }).run('limits', '--all');
    assert.equal(code, 1);
    assert.match(
      errors,
      /its log has no complete output: gcloud run jobs executions describe longhaul-migrate-x7k2p/,
    );
  });
});
