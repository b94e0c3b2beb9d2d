/** deploy.sh against a fake project that is deployed: what a run changes, keeps and refuses. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import {
  agentDir,
  createFakeProject,
  projectDir,
  takeVerbs,
  type FakeProject,
} from '../../../support/deploy/project.ts';
import { run, runScript } from '../../../support/deploy/scripts.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

const own = { API_INVOKERS: 'user:you@example.com' };
const cleanup = createSuiteCleanup();
/** A project with everything that deploy.sh creates. Tests change copies of it. */
let deployed: FakeProject;
before(async () => {
  deployed = createFakeProject(cleanup);
  await deployed.run('deploy.sh');
});

describe('a deployment', () => {
  test('updates only what a setting affects', async (t) => {
    const fake = createFakeProject(t, deployed);
    await fake.run('deploy.sh', ['services'], { API_MAX: '30' });
    assert.deepEqual(
      takeVerbs(fake),
      ['run services replace', 'run worker-pools replace'],
      'API_MAX changes the planned connections of every service',
    );
    await fake.run('deploy.sh', ['monitoring'], { WORKER_CONCURRENCY: '50' });
    assert.deepEqual(
      takeVerbs(fake),
      ['monitoring dashboards update'],
      'the dashboard shows the capacity for turns',
    );
  });

  test('keeps the images that serve, and not the newest of a release that was taken back', async (t) => {
    const fake = createFakeProject(t, deployed);
    writeFileSync(path.join(fake.dir, 'resources/built'), '2');
    const dir = createTempDir(t);
    const deploy = async (steps: string[], env: Record<string, string> = {}) => {
      const { output } = await fake.run('deploy.sh', steps, { RENDERED_DIR: dir, API_MAX: '30', ...env });
      const [api, worker] = ['api', 'worker'].map(
        (name) => /image: "(.*)"/.exec(readFileSync(path.join(dir, `${name}.yaml`), 'utf8'))![1]!,
      );
      return { output, images: [api!, worker!].map((image) => image.replace(/^.*\/(\w+)@sha256:0*/, '$1 ')) };
    };
    const kept = await deploy(['services']);
    assert.deepEqual(kept.images, ['api 1', 'worker 1']);
    assert.match(kept.output, /the images that serve stay, and not the newest \(.*worker@sha256:0+2\)/);
    const built = await deploy(['images', 'services'], { AGENT_DIR: agentDir, FAKE_BUILT: '4' });
    assert.deepEqual(built.images, ['agent 4', 'agent 4']);
    assert.doesNotMatch(built.output, /images that serve stay/);

    writeFileSync(path.join(fake.dir, 'resources/split longhaul-api'), '');
    fake.takeChanges();
    const env = { ...fake.environment, ...own };
    const split = await runScript('deploy.sh', ['services'], env);
    assert.match(
      split.errors,
      /longhaul-api is split between longhaul-api-1=90 longhaul-api-2=10: end that rollout/,
    );
    assert.deepEqual([split.code, fake.takeChanges()], [1, []]);
  });

  test('migrates a database that was restored, although its image has migrated another', async (t) => {
    const fake = createFakeProject(t, deployed);
    const restored = { ALLOYDB_CLUSTER: 'longhaul-restored', DATABASE_HOST: '10.21.0.9' };
    await fake.run('deploy.sh', ['migrate'], restored);
    const jobs = ['run jobs replace', 'run jobs execute'];
    assert.deepEqual(takeVerbs(fake), jobs);
  });

  test('migrates again after another command has succeeded in the same job', async (t) => {
    const fake = createFakeProject(t, deployed);
    const env = { ...fake.environment, ...own };
    const changed = { ...env, DATABASE_NAME: 'other' };
    assert.equal(
      (await runScript('deploy.sh', ['migrate'], { ...changed, FAKE_MIGRATION: 'fails' })).code,
      1,
    );
    const words = ['run', 'jobs', 'execute', 'longhaul-migrate', '--args=services/admin/main.ts,webhooks'];
    assert.equal((await run('gcloud', words, { env })).code, 0);
    fake.takeChanges();
    assert.equal((await runScript('deploy.sh', ['migrate'], changed)).code, 0);
    assert.deepEqual(takeVerbs(fake), ['run jobs execute']);
  });

  test('keeps the label of a contraction when it replaces the job', async (t) => {
    const fake = createFakeProject(t, deployed);
    const label = path.join(fake.dir, 'resources/contracted longhaul-migrate');
    writeFileSync(label, 'r-2_0-12345678');
    await fake.run('deploy.sh', ['migrate'], { DATABASE_NAME: 'other' });
    assert.deepEqual(takeVerbs(fake), ['run jobs replace', 'run jobs execute']);
    assert.equal(readFileSync(label, 'utf8').trim(), 'r-2_0-12345678');

    const env = { ...fake.environment, ...own };
    const unread = await runScript('deploy.sh', ['migrate'], { ...env, FAKE_JOBS: 'unreadable' });
    assert.match(unread.errors, /the jobs of us-central1 cannot be listed/);
    assert.deepEqual([unread.code, fake.takeChanges()], [1, []]);
  });

  test('updates the limits of the queue and of the subscriptions once', async (t) => {
    const fake = createFakeProject(t, deployed);
    for (const [env, verbs] of [
      [{ QUEUE_CALLS_PER_SECOND: '50' }, ['tasks queues update']],
      [{ QUEUE_CONCURRENT_CALLS: '1000' }, ['tasks queues update']],
      [{ PULL_ACK_SECONDS: '90' }, ['pubsub subscriptions update']],
      [{ MAX_DELIVERY_ATTEMPTS: '20' }, ['pubsub subscriptions update']],
    ] as [Record<string, string>, string[]][]) {
      await fake.run('deploy.sh', ['tasks', 'pubsub'], env);
      assert.deepEqual(takeVerbs(fake), verbs);
      await fake.run('deploy.sh', ['tasks', 'pubsub'], env);
      assert.deepEqual(fake.takeChanges(), []);
      await fake.run('deploy.sh', ['tasks', 'pubsub']);
      assert.deepEqual(takeVerbs(fake), verbs);
    }
  });

  test('refuses another size of the database, with the command that changes it', async (t) => {
    const fake = createFakeProject(t, deployed);
    const env = { ...fake.environment, ...own };
    const sizes = { ALLOYDB_CPUS: '16', ALLOYDB_AVAILABILITY: 'REGIONAL', DATABASE_MAX_CONNECTIONS: '4000' };
    const resized = await runScript('deploy.sh', ['alloydb'], { ...env, ...sizes });
    assert.match(
      resized.errors,
      /ALLOYDB_CPUS=16 \(it has 2\), .*\n {2}gcloud alloydb instances update longhaul-primary .*--cpu-count=16 --availability-type=REGIONAL --database-flags=max_connections=4000\\,alloydb\.iam_authentication=on\n/,
    );
    const more = { API_MAX: '200', DATABASE_MAX_CONNECTIONS: '4000' };
    const opened = await runScript('deploy.sh', ['services'], { ...env, ...more });
    assert.match(opened.errors, /DATABASE_MAX_CONNECTIONS=4000 \(it allows 1000\)/);
    assert.deepEqual([resized.code, opened.code, fake.takeChanges()], [1, 1, []]);

    const instance = path.join(fake.dir, 'resources/alloydb instances longhaul-primary');
    writeFileSync(instance, '16|REGIONAL|max_connections=4000');
    await fake.run('deploy.sh', ['alloydb', 'services'], { ...sizes, API_MAX: '20' });
    await fake.run('deploy.sh', ['alloydb']);
    assert.deepEqual(fake.takeChanges(), []);
  });

  test('with DATABASE_CONNECTION=psc is only migrated by the second run', async (t) => {
    const fake = createFakeProject(t);
    const psc = { DATABASE_CONNECTION: 'psc' };
    await fake.run('deploy.sh', [], psc);
    fake.takeChanges();
    await fake.run('deploy.sh', [], psc);
    assert.deepEqual(
      fake.takeChanges().map((line) => line.trim()),
      ['run jobs execute longhaul-migrate'],
    );
  });
});

describe('variables of deployed services', () => {
  const env = { SERVICE_ENV: 'RETENTION_DAYS=30\nCORS_ORIGINS=https://a.example,https://b.example' };

  test('stay with the next run, and go when the setting goes', async (t) => {
    const fake = createFakeProject(t);
    await fake.run('deploy.sh', [], env);
    fake.takeChanges();
    await fake.run('deploy.sh', ['migrate', 'services'], env);
    assert.deepEqual(
      fake.takeChanges().map((line) => line.trim()),
      ['run jobs execute longhaul-migrate'],
    );
    const gone = await fake.run('deploy.sh', ['services'], { SERVICE_ENV: 'RETENTION_DAYS=30' });
    assert.match(gone.output, /^# longhaul-api no longer gets CORS_ORIGINS$/m);
    fake.takeChanges();
    await fake.run('deploy.sh', ['services'], { SERVICE_ENV: '' });
    assert.equal(fake.takeChanges().filter((line) => / replace /.test(line)).length, 3);
  });

  test('are not lost by a run without the settings', async (t) => {
    const fake = createFakeProject(t);
    const settings: Record<string, string> = {
      SERVICE_ENV: 'WEBHOOK_DESTINATIONS=a.example\nOWNER_MAX_OPEN_TASKS=5\nRETENTION_DAYS=30',
      DISPATCHER_ENV: 'RETENTION_DAYS=40',
      AGENT_ENV: `QUOTED='"a"\nb'`,
      WORKER_SECRETS: 'TOKEN=orders-token',
      TRUSTED_PROXIES: '2',
      PUBLIC_URL: 'https://agent.example.com',
    };
    mkdirSync(path.join(fake.dir, 'resources'));
    writeFileSync(path.join(fake.dir, 'resources/content orders-token'), 'token');
    await fake.run('deploy.sh', [], settings);
    fake.takeChanges();
    const environment = { ...fake.environment, ...own };
    const refused = await runScript('deploy.sh', ['services'], environment);
    assert.deepEqual([refused.code, fake.takeChanges()], [1, []]);
    const [, printed = ''] = /\n {2}(export .*)\n/.exec(refused.errors) ?? [];
    for (const name of Object.keys(settings)) assert.ok(printed.includes(` ${name}=`), printed);

    // The printed line keeps everything.
    const script = path.join(projectDir, 'deploy/deploy.sh');
    const kept = await run('bash', ['-euc', `${printed}; bash ${script} services`], {
      env: { ...environment, PROJECT_ID: 'my-project', SETTINGS_FILE: '', ROLE_SECONDS: '0' },
    });
    assert.deepEqual([kept.code, kept.errors, fake.takeChanges()], [0, '', []]);
  });
});

describe('commands for worker pools', () => {
  test('are general, and beta for an older gcloud', async (t) => {
    for (const [known, used] of [
      ['run', 'run worker-pools replace'],
      ['beta run', 'beta run worker-pools replace'],
    ] as const) {
      const fake = createFakeProject(t);
      await fake.run('deploy.sh', ['secrets', 'images', 'services'], {
        DATABASE_HOST: '10.50.0.3',
        FAKE_WORKER_POOLS: known,
      });
      assert.ok(
        fake.takeChanges().some((line) => line.startsWith(used)),
        known,
      );
    }
  });

  test('are missing in a gcloud that must be updated', async (t) => {
    const fake = createFakeProject(t);
    await fake.run('deploy.sh', ['secrets', 'images'], { DATABASE_HOST: '10.50.0.3' });
    const { code, errors } = await runScript('deploy.sh', ['services'], {
      ...fake.environment,
      FAKE_WORKER_POOLS: 'none',
      DATABASE_HOST: '10.50.0.3',
    });
    assert.equal(code, 1);
    assert.match(errors, /has no commands for worker pools: update it with "gcloud components update"/);
  });
});
