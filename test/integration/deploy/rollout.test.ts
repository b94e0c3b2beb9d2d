/** rollout.sh against a fake Cloud Run: a release that passes, one that fails, and a failure of each step. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { after, before, canary, createCloudRun } from '../../support/deploy/cloud-run.ts';
import { projectDir } from '../../support/deploy/project.ts';
import { run, runScript } from '../../support/deploy/scripts.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('a rollout', () => {
  test('gives a release a share, judges its tasks, waits for the others, and promotes it', async (t) => {
    const fake = createCloudRun(t);
    const follow = async (step: string) => {
      const { code, errors } = await fake.run(step);
      assert.equal(code, 0, errors);
      return fake.takeChanges();
    };
    const prepared = await follow('prepare');
    assert.match(
      prepared[0]!,
      /^run worker-pools update longhaul-worker .*--no-promote .*registry\/worker@.*WORKER_RELEASE=2\.0/,
    );
    assert.match(
      prepared[2]!,
      /^run services update longhaul-api .*--no-traffic --tag=next .*registry\/api@/,
    );
    assert.deepEqual(fake.shares(), before);
    const judged = await follow('canary');
    assert.deepEqual(fake.shares(), canary);
    assert.match(
      judged.at(-1)!,
      /jobs execute longhaul-migrate .*--task-timeout=1320s .*--args=services\/admin\/main\.ts,outcomes,--candidate,2\.0,--at-least,20,--tolerance,5,--wait,1200,--minutes,30/,
    );
    assert.match(
      (await follow('drain'))[0]!,
      /--args=services\/admin\/main\.ts,drain,--keep,2\.0,--wait,900/,
    );
    const promoted = await follow('promote');
    assert.match(promoted[0]!, /update-instance-split longhaul-worker .*--to-latest/);
    assert.deepEqual(fake.shares(), after);
  });

  test('takes everything back from a release whose tasks fail', async (t) => {
    const fake = createCloudRun(t);
    fake.set('2', before);
    const { code, errors } = await fake.run('canary', { FAKE_FAILURE: 'outcomes' });
    assert.equal(code, 1);
    assert.match(errors, /the canary of 2\.0 was taken back: too many of its tasks failed, or too few ended/);
    assert.deepEqual(fake.shares(), before);
    await fake.run('prepare');
    assert.equal((await fake.run('promote')).code, 0, 'the next release is not held back by the split');
    assert.deepEqual(fake.shares(), ['3:100', '3:100', '3:100']);
  });

  test('takes everything back when it is interrupted', async (t) => {
    const fake = createCloudRun(t);
    fake.set('2', before);
    const script = path.join(projectDir, 'deploy/rollout.sh');
    const child = spawn('bash', [script, 'canary', '2.0'], {
      env: { ...fake.environment, FAKE_HANGS: 'outcomes' },
    });
    let errors = '';
    child.stderr.on('data', (chunk) => (errors += String(chunk)));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await waitFor('the job', () => fake.hasChanged(/jobs execute/));
    child.kill('SIGTERM');
    assert.equal(await ended, 1);
    assert.match(errors, /taken back: it was interrupted/);
    assert.deepEqual(fake.shares(), before);
  });

  for (const { title, latest, from, step, failure, message, left, repair, repaired } of [
    {
      title: 'serves the revisions before when one is not deployed',
      latest: '1',
      from: before,
      step: 'prepare',
      failure: 'services update longhaul-api',
      message:
        /longhaul-api was not deployed\. The revisions before continue to serve: run the step prepare again/,
      left: before,
      repair: ['prepare', 'canary'],
      repaired: ['3:50 1:50', '1:90 3:10', '1:90 2:10'],
    },
    {
      title: 'takes everything back when a service does not take its share',
      latest: '2',
      from: before,
      step: 'canary',
      failure: 'update-traffic longhaul-dispatcher .*to-tags',
      message:
        /taken back: longhaul-dispatcher did not take the new revision\. Everything is with the revisions before/,
      left: before,
      repair: ['canary'],
      repaired: canary,
    },
    {
      title: 'names what still has a share when it cannot be taken back',
      latest: '2',
      from: before,
      step: 'canary',
      failure: 'outcomes|update-traffic longhaul-api .*to-revisions',
      message: /stopped: too many .* It still has a share of longhaul-api: run the step back/,
      left: ['1:100', '1:100', '1:90 2:10'],
      repair: ['back'],
      repaired: before,
    },
    {
      title: 'keeps the share when the other workers still have turns',
      latest: '2',
      from: canary,
      step: 'drain',
      failure: ',drain,',
      message:
        /turns of other releases have not ended.*2\.0 keeps its share: run the step drain again, or promote, or back/,
      left: canary,
      repair: ['drain', 'promote'],
      repaired: after,
    },
    {
      title: 'names what was promoted when a service is not',
      latest: '2',
      from: canary,
      step: 'promote',
      failure: 'update-traffic longhaul-api .*next=100',
      message:
        /longhaul-api was not promoted\. These were: longhaul-worker longhaul-dispatcher.*run the step promote again/,
      left: ['2:100', '2:100', '1:90 2:10'],
      repair: ['promote'],
      repaired: after,
    },
    {
      title: 'restarts the workers of the revisions before when it is given up',
      latest: '2',
      from: canary,
      step: 'back',
      failure: '--restart',
      message:
        /everything is with the revisions before, but their workers were not restarted: run the step back again/,
      left: before,
      repair: ['back'],
      repaired: before,
    },
  ]) {
    test(title, async (t) => {
      const fake = createCloudRun(t);
      fake.set(latest, from);
      const { code, errors } = await fake.run(step, { FAKE_FAILURE: failure });
      assert.equal(code, 1);
      assert.match(errors, message);
      assert.deepEqual(fake.shares(), left);
      for (const next of repair) {
        const { code: status, errors: problem } = await fake.run(next);
        assert.equal(status, 0, problem);
      }
      assert.deepEqual(fake.shares(), repaired);
    });
  }

  test('waits for no workers that Pub/Sub calls, and names the command of an own image', async (t) => {
    const fake = createCloudRun(t, { worker: 'service' });
    await fake.run('prepare');
    assert.ok(
      fake.takeChanges().some((line) => /services update longhaul-worker .*WORKER_RELEASE=2\.0/.test(line)),
    );
    await fake.run('canary', { FAKE_ENTRY: 'migrate' });
    assert.match(fake.takeChanges().at(-1)!, /--args=admin,outcomes/);
    assert.match((await fake.run('drain')).output, /nothing to wait for/);
    assert.deepEqual(fake.takeChanges(), []);
  });

  test('changes nothing if it cannot be carried out', async (t) => {
    const one = createCloudRun(t, { instances: 1 });
    assert.match(
      (await one.run('prepare')).errors,
      /longhaul-worker has 1 instance, which cannot be split: .*WORKER_INSTANCES=2/,
    );
    const fake = createCloudRun(t);
    assert.match(
      (await fake.run('canary')).errors,
      /has no revision without a share next to one that serves: run the step prepare first/,
    );
    assert.match((await fake.run('back')).errors, /the revision before is not known/);
    assert.match((await fake.run('prepare', { API_IMAGE: 'api:1' })).errors, /must be images by digest/);
    for (const [name, value] of [
      ['CANARY_PERCENT', '100'],
      ['CANARY_TASKS', 'many'],
      ['CANARY_SECONDS', '5'],
    ] as const)
      assert.match(
        (await fake.run('canary', { [name]: value })).errors,
        new RegExp(`${name} must be a number from .*, not ${value}`),
      );
    fake.set('1', ['1:100', '1:100', '0:20 1:80']);
    assert.match(
      (await fake.run('prepare')).errors,
      /longhaul-api is split between longhaul-api-0=20 longhaul-api-1=80: end that rollout first/,
    );
    assert.equal((await fake.run('forward')).code, 64);
    assert.match(
      (await fake.run('canary', { CANARY_PERCENT: '0' })).output,
      /no canary: CANARY_PERCENT is 0/,
    );
    assert.deepEqual([...one.takeChanges(), ...fake.takeChanges()], []);
  });
});

describe('the deployment of Cloud Build', () => {
  const { steps, substitutions } = parse(readFileSync(path.join(projectDir, 'cloudbuild.yaml'), 'utf8')) as {
    steps: { id: string; args: string[]; waitFor?: string[] }[];
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
      writeFileSync(path.join(fake.dir, `${name}.image`), `registry/${name}@sha256:1`);
    const values: Record<string, string> = {
      ...substitutions,
      PROJECT_ID: 'my-project',
      _TAG: '2.0',
      _CANARY_PERCENT: '20',
      _CANARY_TASKS: '7',
    };
    for (const { args } of steps.filter(({ id }) => ['deploy', 'canary', 'drain', 'promote'].includes(id))) {
      // Cloud Build replaces its variables, and the escaped dollars.
      const script = args[1]!
        .replaceAll(/\$(?:\$|(\w+))/g, (_all, name?: string) =>
          name === undefined ? '$' : (values[name] ?? ''),
        )
        .replaceAll('/workspace', fake.dir);
      const { code, errors } = await run('bash', ['-euc', script], { cwd: projectDir, env });
      assert.equal(code, 0, errors);
    }
    const changes = fake.takeChanges().join('\n');
    assert.match(changes, /update longhaul-api .*--image=registry\/api@sha256:1/);
    assert.match(changes, /update-traffic longhaul-api .*next=20\n/);
    assert.match(changes, /outcomes,--candidate,2\.0,--at-least,7,/);
    assert.deepEqual(fake.shares(), after);
  });

  test('has the defaults of the settings, and gets those of the release', async () => {
    const settings = readFileSync(path.join(projectDir, 'deploy/settings.sh'), 'utf8');
    const { output } = await runScript('release.sh', ['--dry-run', '2.0'], { CANARY_PERCENT: '10' });
    const names = Object.keys(substitutions).filter((name) => /^_(CANARY|DRAIN)_/.test(name));
    assert.equal(names.length, 5);
    for (const name of names) {
      const [, value] = new RegExp(`"\\$\\{${name.slice(1)}:=(\\d+)\\}"`).exec(settings)!;
      assert.equal(substitutions[name], value);
      assert.match(output, new RegExp(`${name}=${name === '_CANARY_PERCENT' ? '10' : value}\\b`));
    }
  });
});
