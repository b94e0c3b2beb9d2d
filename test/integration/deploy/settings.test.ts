/** Every setting of the scripts is checked before anything is made, and all problems are reported together. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { projectDir } from '../../support/deploy/project.ts';
import { run, runScript } from '../../support/deploy/scripts.ts';
import { accepted, fitting, refused, together } from '../../support/deploy/setting-values.ts';
import { createTempDir } from '../../support/temp-dir.ts';

const readFile = (name: string): string => readFileSync(path.join(projectDir, 'deploy', name), 'utf8');
const findNames = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, name]) => name!).toSorted();
const settings = findNames(readFile('settings.sh'), /^: "\$\{([A-Z_]+)/gm);

/** Returns the nth value of each setting that has as many. */
function takeRound(values: Record<string, readonly string[]>, round: number): Record<string, string> {
  const found = Object.entries(values).flatMap(([name, list]) =>
    list[round] === undefined ? [] : [[name, list[round]] as const],
  );
  return Object.fromEntries(found);
}

const countRounds = (values: Record<string, readonly string[]>): number =>
  Math.max(...Object.values(values).map((list) => list.length));

describe('checks of settings', () => {
  test('have a line for each setting, and a wrong value in this test', () => {
    assert.ok(settings.length > 60, `${settings.length} settings`);
    assert.deepEqual(findNames(readFile('lib/checks.txt'), /^([A-Z_]+) /gm), settings);
    assert.deepEqual(Object.keys(refused).toSorted(), settings);
  });

  test('refuse every wrong value by its name, all together', async () => {
    for (let round = 0; round < countRounds(refused); round++) {
      const wrong = takeRound(refused, round);
      const { code, output, errors } = await runScript('deploy.sh', ['--dry-run'], wrong);
      assert.deepEqual([code, output], [1, '']);
      for (const [name, value] of Object.entries(wrong)) {
        // The bucket has the names of the project and the prefix in its own.
        if (name === 'BUILD_BUCKET') continue;
        assert.match(
          errors,
          new RegExp(`^ {2}- ${name}(:| must be| must not| has| names) .+`, 'm'),
          `${name}=${value}`,
        );
      }
    }
    const { errors } = await runScript('deploy.sh', ['--dry-run'], { BUILD_BUCKET: 'gs://bucket' });
    assert.match(errors, /BUILD_BUCKET must be the name of a bucket, without gs:\/\/, not gs:\/\/bucket/);
  });

  test('accept values of each kind, and settings that fit together', async () => {
    const rounds = Array.from({ length: countRounds(accepted) }, (_, round) => takeRound(accepted, round));
    for (const values of [...rounds, ...fitting]) {
      const { code, errors } = await runScript('deploy.sh', ['--dry-run', 'tasks'], values);
      assert.equal(code, 0, errors);
    }
  });

  test('refuse settings that do not fit together', async () => {
    for (const [values, problem] of together) {
      const { code, output, errors } = await runScript('deploy.sh', ['--dry-run', 'network'], values);
      assert.deepEqual([code, output], [1, '']);
      assert.ok(errors.includes(problem), errors);
    }
    const { errors } = await runScript('deploy.sh', ['--dry-run'], { AGENT_DIR: '/no/agent' });
    assert.match(errors, /AGENT_DIR must be a folder with a Dockerfile/);
  });

  test('report a refused prefix once, and not the names that are formed from it', async () => {
    const { errors } = await runScript('deploy.sh', ['--dry-run'], { PREFIX: 'My_Bad' });
    assert.deepEqual(errors.match(/^ {2}- \w+/gm), ['  - PREFIX']);
  });

  test('take settings from deploy.env, and refuse other names there', async (t) => {
    const cwd = createTempDir(t);
    const deploy = (env: Record<string, string>) =>
      run('bash', [path.join(projectDir, 'deploy/deploy.sh'), '--dry-run', 'tasks'], {
        cwd,
        env: { PATH: process.env['PATH'], ...env },
      });
    writeFileSync(
      path.join(cwd, 'deploy.env'),
      `# kept\nPROJECT_ID=my-project\nREGION=europe-west4\nAGENT_ENV='A=1\nB=2'\n`,
    );
    const { output, errors } = await deploy({ QUEUE_CALLS_PER_SECOND: '7', PREFIX: 'kept' });
    assert.equal(errors, '');
    assert.match(output, /create kept-webhooks --location=europe-west4 --max-dispatches-per-second=7/);
    assert.match((await deploy({ REGION: 'us-east1' })).output, /--location=us-east1/);
    writeFileSync(path.join(cwd, 'deploy.env'), 'PROJECT_ID=my-project\nAPI_MAXIMUM=3\n');
    assert.match((await deploy({})).errors, /deploy\.env has API_MAXIMUM, which is not a setting/);
  });

  test('are made by every script', async () => {
    for (const [script, args] of [
      ['deploy.sh', []],
      ['release.sh', ['1.2.3']],
      ['rollout.sh', ['status']],
      ['remove.sh', []],
      ['admin.sh', ['limits']],
    ] as const) {
      const { code, errors } = await runScript(script, ['--dry-run', ...args], { PROJECT_ID: '' });
      assert.equal(code, 1);
      assert.match(errors, /PROJECT_ID must be the id of a project, such as my-project, not empty/);
    }
  });
});
