/** deploy/admin.sh: commands for operators in the job of the migration, for both kinds of images. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { createJobOutput } from '#services/admin/job-output.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { readOwnLimits } from '#shared/db/owners/settings.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { createJob } from '../../../support/deploy/job.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

const images = [
  { image: 'this project', entry: 'services/migrate/main.ts', expected: 'services/admin/main.ts' },
  { image: 'an agent of its own', entry: 'migrate', expected: 'admin' },
];

let db: Db;
let url: string;
before(async () => {
  ({ db, url } = await connectToTestDatabase());
});

describe('admin.sh', () => {
  for (const { image, entry, expected } of images) {
    test(`prints the output of a command in an image of ${image}`, async (t) => {
      const api = { AUTH_MODES: 'jwt,api-key', OWNER_MAX_OPEN_TASKS: '7', PUBLIC_URL: 'https://a' };
      const job = createJob(t, url, { entry, api });
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
    const { code, output, errors } = await createJob(t, url).run('limits', 'apply', file);
    assert.equal(code, 0, errors);
    assert.match(output, /^\+ key:a,b openTasks 5\n\+ key:a,b concurrentTurns 6\n/);
    assert.deepEqual((await readOwnLimits(db)).get('key:a,b'), { openTasks: 5, concurrentTurns: 6 });
    const missing = await createJob(t, url).run('limits', 'apply', '/nowhere');
    assert.match(missing.errors, /the file \/nowhere cannot be read/);
  });

  test('refuses what gcloud would refuse, before it asks for anything', async (t) => {
    const repeated = await createJob(t, url).run('forget', '--owner', 'a', '--tenant', 'a', '--yes');
    assert.match(repeated.errors, /a is there twice, which gcloud refuses: write options as --name=value/);
    const option = await createJob(t, url).run('--jason', 'limits');
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
