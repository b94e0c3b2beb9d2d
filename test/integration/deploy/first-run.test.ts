/** A first run of deploy.sh in a real project: new APIs and roles, regions, policies, and another agent. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { createFakeProject, projectDir } from '../../support/deploy/project.ts';
import { dryRun, run, runScript } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';

describe('a first run', () => {
  test('enables at most 20 APIs in one call, which is the limit', async () => {
    const enabling = (await dryRun('deploy.sh', {}, ['apis'])).filter(({ line }) =>
      line.startsWith('gcloud services enable'),
    );
    assert.ok(enabling.length > 1);
    for (const { words } of enabling) assert.ok(words.length - 3 <= 20, `${words.length - 3} APIs`);
  });

  test('waits for an API that was enabled a moment ago', async (t) => {
    const fake = createFakeProject(t);
    const refusal = path.join(fake.dir, 'refusal');
    writeFileSync(refusal, 'once');
    const { output } = await fake.run('deploy.sh', ['apis'], { FAKE_NEW_API: refusal });
    assert.match(output, /AlloyDB does not answer yet: trying again/);
    writeFileSync(refusal, 'once');
    const env = { PATH: `${path.join(fake.dir, 'bin')}:${process.env['PATH']}`, FAKE_PROJECT: fake.dir };
    const later = await runScript('deploy.sh', ['apis'], { ...env, FAKE_NEW_API: refusal });
    assert.match(later.errors, /AlloyDB does not answer$/m, 'it is no longer new');
  });

  test('creates the agent of Pub/Sub, even if the API was enabled before', async (t) => {
    const fake = createFakeProject(t);
    await fake.run('deploy.sh', ['apis']);
    fake.takeChanges();
    await fake.run('deploy.sh', ['apis']);
    assert.deepEqual(
      fake.takeChanges().map((line) => line.trim()),
      ['beta services identity create'],
    );
    await fake.run('deploy.sh', ['pubsub']);
    fake.takeChanges();
    await fake.run('deploy.sh', ['apis']);
    assert.deepEqual(fake.takeChanges(), [], 'the agent has its rights, so it exists');
  });

  test('refuses a region that lacks a service, with those that have it', async (t) => {
    const fake = createFakeProject(t);
    const env = { PATH: `${path.join(fake.dir, 'bin')}:${process.env['PATH']}`, FAKE_PROJECT: fake.dir };
    const { code, errors } = await runScript('deploy.sh', ['apis'], { ...env, REGION: 'mars-north1' });
    assert.equal(code, 1);
    assert.match(
      errors,
      /Cloud Run is not available in REGION=mars-north1: set REGION to one of us-central1 /,
    );
  });

  test('waits until new roles are in force before a build or a revision needs them', async (t) => {
    const fake = createFakeProject(t);
    writeFileSync(path.join(fake.dir, 'bin/sleep'), '#!/bin/sh\n', { mode: 0o755 });
    const { output } = await fake.run('deploy.sh', ['images'], { ROLE_SECONDS: '3600' });
    assert.match(output, /# waiting \d+ s until the new roles are in force\n.*builds submit/);
    const folder = createTempDir(t);
    writeFileSync(path.join(folder, 'Dockerfile'), '');
    const again = await fake.run('deploy.sh', ['images'], { ROLE_SECONDS: '3600', AGENT_DIR: folder });
    assert.doesNotMatch(again.output, /waiting/);
  });

  test('keeps secrets in regions', async () => {
    const commands = await dryRun('deploy.sh', { SECRET_LOCATIONS: 'europe-west4' }, ['secrets']);
    const created = commands.filter(({ line }) => line.includes('secrets create'));
    for (const { line } of created)
      assert.match(line, /--replication-policy=user-managed --locations=europe-west4/);
    assert.ok(created.length > 5);
  });
});

describe('AGENT_FILE', () => {
  const file = 'docs/agents/orders.yaml';

  /** Runs the step that puts the agent into the sources of a build. */
  async function build(t: TestContext, name: string): Promise<string> {
    const { steps } = parse(readFileSync(path.join(projectDir, `deploy/builds/${name}.yaml`), 'utf8')) as {
      steps: { id?: string; args: string[] }[];
    };
    const cwd = createTempDir(t);
    writeFileSync(path.join(cwd, 'agent.yaml'), 'default');
    writeFileSync(path.join(cwd, 'mine.yaml'), 'mine');
    const [, script = ''] = steps.find(({ id }) => id === 'agent')!.args;
    for (const agent of ['agent.yaml', 'mine.yaml']) {
      const { code, errors } = await run('bash', ['-euc', script.replaceAll('$_AGENT_FILE', agent)], { cwd });
      assert.equal(code, 0, errors);
      if (agent === 'agent.yaml') assert.equal(readFileSync(path.join(cwd, 'agent.yaml'), 'utf8'), 'default');
    }
    return readFileSync(path.join(cwd, 'agent.yaml'), 'utf8');
  }

  test('is the agent of the images that are built', async (t) => {
    for (const [name, env] of [
      ['images', {}],
      ['source-image', { IMAGES_FROM: 'source' }],
    ] as const) {
      assert.equal(await build(t, name), 'mine');
      for (const [script, args] of [
        ['deploy.sh', ['images']],
        ['release.sh', ['1.0']],
      ] as const) {
        const commands = await dryRun(script, { ...env, AGENT_FILE: file }, [...args]);
        const line = commands.find((command) => command.line.includes(`/${name}.yaml`))?.line ?? '';
        assert.match(line, /,_AGENT_FILE=docs\/agents\/orders\.yaml\\,/);
      }
    }
  });

  test('must be a file that builds get', async () => {
    for (const [env, expected] of [
      [{ AGENT_FILE: '/etc/agent.yaml' }, /must be a YAML file of this repository/],
      [{ AGENT_FILE: '../agent.yaml' }, /must be a YAML file of this repository/],
      [{ AGENT_FILE: 'missing.yaml' }, /must be a YAML file of this repository.*not missing\.yaml/],
      [{ AGENT_FILE: file, AGENT_DIR: '/agent' }, /the Dockerfile of that folder names its agent/],
    ] as const) {
      const { code, errors } = await runScript('deploy.sh', ['--dry-run', 'images'], env);
      assert.equal(code, 1);
      assert.match(errors, expected);
    }
  });
});
