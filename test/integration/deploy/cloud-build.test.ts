/** The deployment of cloudbuild.yaml, and release.sh, which submits it, roll out with the same settings. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { after, createCloudRun } from '../../support/deploy/cloud-run.ts';
import { projectDir } from '../../support/deploy/project.ts';
import { run, runScript } from '../../support/deploy/scripts.ts';

describe('the deployment of Cloud Build', () => {
  const { steps, substitutions } = parse(readFileSync(path.join(projectDir, 'cloudbuild.yaml'), 'utf8')) as {
    steps: { id: string; args: string[]; env?: string[]; waitFor?: string[] }[];
    substitutions: Record<string, string>;
  };

  test('runs its steps one after the other', () => {
    const order = ['images', 'migrate', 'deploy', 'smoke', 'canary', 'drain', 'promote'];
    const found = steps.map(({ id, waitFor = [] }) => [id, ...waitFor]);
    assert.deepEqual(
      found,
      order.map((id, index) => [id, ...order.slice(Math.max(0, index - 1), index)]),
    );
  });

  test('rolls out with the settings of its substitutions', async (t) => {
    const fake = createCloudRun(t);
    const { CANARY_PERCENT: _percent, PROJECT_ID: _project, ...env } = fake.environment;
    for (const name of ['api', 'worker'])
      writeFileSync(path.join(fake.dir, `${name}.image`), `registry/${name}@sha256:${'1'.repeat(64)}`);
    const values: Record<string, string> = {
      ...substitutions,
      PROJECT_ID: 'my-project',
      _TAG: '2.0',
      _CANARY_PERCENT: '20',
      _CANARY_TASKS: '7',
      _SERVICE_ENV_BASE64: Buffer.from('RETENTION_DAYS=30\nCORS_ORIGINS=https://a.example').toString(
        'base64',
      ),
    };
    // Cloud Build replaces its variables, and the escaped dollars.
    const replace = (text: string) =>
      text.replaceAll(/\$(?:\$|(\w+))/g, (_all, name?: string) =>
        name === undefined ? '$' : (values[name] ?? ''),
      );
    for (const { args, env: own = [] } of steps.filter(({ id }) =>
      ['deploy', 'canary', 'drain', 'promote'].includes(id),
    )) {
      const script = replace(args[1]!).replaceAll('/workspace', fake.dir);
      const stepEnv = Object.fromEntries(own.map((pair) => replace(pair).split(/=(.*)/s)));
      const { code, errors } = await run('bash', ['-euc', script], {
        cwd: projectDir,
        env: { ...env, ...stepEnv },
      });
      assert.equal(code, 0, errors);
    }
    const changes = fake.takeChanges().join('\n');
    assert.match(changes, /update longhaul-api .*--image=registry\/api@sha256:1/);
    assert.match(
      changes,
      /update longhaul-api .*--update-env-vars=CORS_ORIGINS=https:\/\/a\.example,RETENTION_DAYS=30/,
    );
    assert.match(changes, /update-traffic longhaul-api .*next=20\n/);
    assert.match(changes, /outcomes,--candidate=2\.0,--at-least=7,/);
    assert.deepEqual(fake.shares(), after);
  });

  test('has the defaults of the settings, and gets those of the release', async () => {
    const settings = readFileSync(path.join(projectDir, 'deploy/settings.sh'), 'utf8');
    const { output } = await runScript('release.sh', ['--dry-run', '2.0'], {
      CANARY_PERCENT: '10',
      WORKER_INSTANCES: '2',
    });
    const names = Object.keys(substitutions).filter((name) => /^_(CANARY|DRAIN)_/.test(name));
    assert.equal(names.length, 5);
    for (const name of names) {
      const [, value] = new RegExp(`"\\$\\{${name.slice(1)}:=(\\d+)\\}"`).exec(settings)!;
      assert.equal(substitutions[name], value);
      assert.match(output, new RegExp(`${name}=${name === '_CANARY_PERCENT' ? '10' : value}\\b`));
    }
  });

  test('gets the variables of the services in base64', async () => {
    const lines = 'RETENTION_DAYS=30\nOPERATORS=a,b';
    const { output } = await runScript('release.sh', ['--dry-run', '2.0'], { SERVICE_ENV: lines });
    const [, encoded = ''] = /_SERVICE_ENV_BASE64=([\w+/=]+)/.exec(output) ?? [];
    assert.equal(Buffer.from(encoded, 'base64').toString(), lines);
    const { code, errors } = await runScript('release.sh', ['--dry-run', '2.0'], {
      SERVICE_ENV: `OPERATORS=${'a'.repeat(3001)}`,
    });
    assert.equal(code, 1);
    assert.match(errors, /SERVICE_ENV is too long for Cloud Build/);
  });

  test('is not submitted for a pool that cannot be split', async (t) => {
    const fake = createCloudRun(t, { instances: 1 });
    const { code, errors } = await runScript('release.sh', ['2.0'], fake.environment);
    assert.equal(code, 1);
    assert.match(errors, /longhaul-worker has 1 instance, which cannot be split: .*WORKER_INSTANCES=2/);
    assert.deepEqual(fake.takeChanges(), []);
    const push = { CANARY_PERCENT: '10', WORKER_MODE: 'push' };
    assert.equal((await runScript('release.sh', ['--dry-run', '2.0'], push)).code, 0);
  });
});
