/** rollout.sh against a fake Cloud Run: a release that passes, one that fails, and a failure of each step. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { after, before, canary, createCloudRun } from '../../../../support/deploy/cloud-run.ts';
import { runScript } from '../../../../support/deploy/scripts.ts';

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
      /jobs execute longhaul-migrate .*--task-timeout=1320s .*--args=services\/admin\/main\.ts,outcomes,--candidate=2\.0,--at-least=20,--tolerance=5,--wait=1200,--minutes=30/,
    );
    assert.match(
      (await follow('drain'))[0]!,
      /--args=services\/admin\/main\.ts,drain,--keep=2\.0,--wait=900/,
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
        /longhaul-api was not promoted\. These were: longhaul-worker longhaul-dispatcher.*run the step promote again, or back/,
      left: ['2:100', '2:100', '1:90 2:10'],
      repair: ['promote'],
      repaired: after,
    },
    {
      title: 'gives everything back after some services were promoted',
      latest: '2',
      from: canary,
      step: 'promote',
      failure: 'update-traffic longhaul-dispatcher .*next=100',
      message: /longhaul-dispatcher was not promoted\. These were: longhaul-worker\./,
      left: ['2:100', '1:90 2:10', '1:90 2:10'],
      repair: ['back'],
      repaired: before,
    },
    {
      title: 'names what it could not give back after a promotion',
      latest: '2',
      from: after,
      step: 'back',
      failure: 'update-traffic longhaul-api .*to-revisions',
      message: /2\.0 still has a share of longhaul-api: run the step back again/,
      left: ['1:100', '1:100', '2:100'],
      repair: ['back'],
      repaired: before,
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
    const dry = await runScript('rollout.sh', ['--dry-run', 'canary', '2.0'], { CANARY_PERCENT: '10' });
    assert.match(dry.errors, /has 1 instance, which cannot be split/, 'as the settings say');
    const fake = createCloudRun(t);
    assert.match(
      (await fake.run('canary')).errors,
      /has no revision without a share next to one that serves: run the step prepare first/,
    );
    assert.match((await fake.run('back')).errors, /the revision before is not known/);
    assert.match(
      (await fake.run('prepare', { API_IMAGE: 'api:1' })).errors,
      /API_IMAGE must be an image by digest/,
    );
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
