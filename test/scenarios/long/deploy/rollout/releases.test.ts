/** rollout.sh knows which release it has to do with, how to get back to the one before, and until when. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { after, before, canary, createCloudRun } from '../../../../support/deploy/cloud-run.ts';
import { projectDir } from '../../../../support/deploy/project.ts';
import { runScript } from '../../../../support/deploy/scripts.ts';
import { waitFor } from '../../../../support/wait-for.ts';

describe('the release of a rollout', () => {
  test('is compared with the one that was prepared', async (t) => {
    const fake = createCloudRun(t);
    fake.set('2', before);
    // Its label differs only by the hash.
    const { code, errors } = await fake.run('canary', {}, '2_0');
    assert.equal(code, 1);
    assert.match(errors, /longhaul-worker is longhaul-worker-2, .* not deployed for 2_0/);
    fake.set('2', canary);
    for (const step of ['promote', 'back'])
      assert.match((await fake.run(step, {}, '3.0')).errors, /not deployed for 3\.0\. Nothing was changed/);
    // A deployment by other means has another newest revision, without the label.
    writeFileSync(path.join(fake.dir, 'longhaul-api/labels'), '');
    assert.match((await fake.run('promote')).errors, /of longhaul-api is longhaul-api-2, .* for 2\.0/);
    assert.deepEqual([fake.takeChanges(), fake.shares()], [[], canary]);
  });

  test('can be taken back after its promotion, until the next one is prepared', async (t) => {
    const fake = createCloudRun(t);
    fake.set('2', after);
    const { code, errors } = await fake.run('back');
    assert.equal(code, 0, errors);
    assert.deepEqual(fake.shares(), before);
    fake.set('2', after);
    await fake.run('prepare', {}, '3.0');
    assert.match((await fake.run('back')).errors, /not deployed for 2\.0\. Nothing was changed/);
    assert.deepEqual(fake.shares(), after);
  });

  test('is printed with the shares of its revisions', async (t) => {
    const fake = createCloudRun(t);
    fake.set('2', canary);
    const { output } = await runScript('rollout.sh', ['status'], fake.environment);
    assert.deepEqual(output.trim().split('\n'), [
      '# longhaul-worker: longhaul-worker-2=50 longhaul-worker-1=50; newest: longhaul-worker-2, of release 2_0; before: longhaul-worker-1',
      '# longhaul-dispatcher: longhaul-dispatcher-1=90 longhaul-dispatcher-2=10; newest: longhaul-dispatcher-2, of release 2_0; before: longhaul-dispatcher-1',
      '# longhaul-api: longhaul-api-1=90 longhaul-api-2=10; newest: longhaul-api-2, of release 2_0; before: longhaul-api-1',
    ]);
    assert.deepEqual(fake.takeChanges(), []);
  });
});

describe('the step status', () => {
  test('says that a release is not known, and never leaves it out', async (t) => {
    const fake = createCloudRun(t);
    const real = await runScript('rollout.sh', ['status'], fake.environment);
    assert.match(
      real.output,
      /^# longhaul-api: longhaul-api-1=100; newest: longhaul-api-1, of release not known; before: not known$/m,
    );
    const dry = await runScript('rollout.sh', ['--dry-run', 'status'], fake.environment);
    assert.match(
      dry.output,
      /^# longhaul-api: BEFORE=100; newest: NEXT, of release RELEASE; before: BEFORE$/m,
    );
  });
});

describe('the contraction of the database', () => {
  test('comes after the promotion, and closes the way back', async (t) => {
    const fake = createCloudRun(t);
    fake.set('2', canary);
    assert.match(
      (await fake.run('contract')).errors,
      /longhaul-worker is served by longhaul-worker-2=50 longhaul-worker-1=50: run the step promote first/,
    );
    assert.deepEqual(fake.takeChanges(), []);
    fake.set('2', after);
    const refused = await fake.run('contract', { FAKE_FAILURE: ',contract,' });
    assert.match(refused.errors, /nothing was dropped, .*run the step contract again/);
    assert.equal((await fake.run('contract')).code, 0);
    assert.match(
      fake.takeChanges().at(-1)!,
      /jobs execute longhaul-migrate .*--args=services\/admin\/main\.ts,contract,--keep=2\.0,--wait=900$/,
    );
    const { code, errors } = await fake.run('back');
    assert.equal(code, 1);
    assert.match(errors, /the step contract has run for 2\.0, .*Nothing was changed/);
    assert.deepEqual([fake.takeChanges(), fake.shares()], [[], after]);
  });
});

describe('an interrupted step', () => {
  for (const { signal, reason, closed } of [
    { signal: 'SIGTERM', reason: /taken back: it was interrupted/, closed: false },
    { signal: 'SIGHUP', reason: undefined, closed: true },
  ] as const) {
    test(`gives a canary back at ${signal}${closed ? ' without output' : ''}`, async (t) => {
      const fake = createCloudRun(t);
      fake.set('2', before);
      const child = spawn('bash', [path.join(projectDir, 'deploy/rollout.sh'), 'canary', '2.0'], {
        env: { ...fake.environment, FAKE_HANGS: 'outcomes' },
      });
      let errors = '';
      child.stderr.on('data', (chunk) => (errors += String(chunk)));
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
      await waitFor('the job', () => fake.hasChanged(/jobs execute/));
      if (closed) for (const pipe of [child.stdout, child.stderr]) pipe.destroy();
      child.kill(signal);
      assert.equal(await ended, 1);
      if (reason !== undefined) assert.match(errors, reason);
      assert.deepEqual(fake.shares(), before);
    });
  }

  test('says how a promotion is continued', async (t) => {
    const fake = createCloudRun(t);
    fake.set('2', canary);
    const child = spawn('bash', [path.join(projectDir, 'deploy/rollout.sh'), 'promote', '2.0'], {
      env: { ...fake.environment, FAKE_HANGS: 'longhaul-dispatcher' },
      detached: true,
    });
    let errors = '';
    child.stderr.on('data', (chunk) => (errors += String(chunk)));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await waitFor('the dispatcher', () => fake.hasChanged(/update-traffic longhaul-dispatcher/));
    // A terminal sends it to all of its processes.
    process.kill(-child.pid!, 'SIGHUP');
    assert.equal(await ended, 1);
    assert.match(errors, /the step promote was interrupted: the step status .*Run it again, or back/);
    assert.deepEqual(fake.shares(), ['2:100', '1:90 2:10', '1:90 2:10']);
    assert.equal((await fake.run('back')).code, 0);
    assert.deepEqual(fake.shares(), before);
  });
});
