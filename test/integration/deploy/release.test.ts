/** The builds of a release, each with an account and rights of its own. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { deployment } from '../../../build/files.ts';
import { agentDir, createFakeProject, projectDir } from '../../support/deploy/project.ts';
import { dryRun, runScript } from '../../support/deploy/scripts.ts';
import { readGrants } from '../../tools/access/matrix.ts';

describe('accounts of builds', () => {
  test('test, build and deploy a release in this order, each with its own', async () => {
    for (const [env, check, images, names] of [
      [{}, 'check.yaml', 'images.yaml', undefined],
      [{ AGENT_DIR: agentDir }, 'check-agent.yaml', 'agent-image.yaml', 'agent'],
      [{ IMAGES_FROM: 'source' }, 'check.yaml', 'source-image.yaml', 'source'],
    ] as [Record<string, string>, string, string, string | undefined][]) {
      const { output } = await runScript('release.sh', ['--dry-run', '1.2.3'], env);
      const builds = [...output.matchAll(/--config=\S*?([\w-]+\.yaml) .*?serviceAccounts\/longhaul-(\w+)@/g)];
      assert.deepEqual(
        builds.map(([, config, account]) => [config, account]),
        [
          [check, 'check'],
          [images, 'build'],
          ['cloudbuild.yaml', 'deploy'],
        ],
      );
      const [, api, worker] = /_API=(\w+)\\,_WORKER=(\w+)/.exec(output) ?? [];
      assert.deepEqual([api, worker], [names, names], 'the deployment gets the image that was built');
    }
  });

  test('refuse a release without a valid tag', async () => {
    for (const args of [[], ['a b'], ['1.0', '2.0'], ['--tag']]) {
      const { code, errors } = await runScript('release.sh', ['--dry-run', ...args], {});
      assert.equal(code, 64);
      assert.match(errors, /see --help/);
    }
  });

  test('separate the rights to test, to push and to deploy', async () => {
    const grants = await readGrants();
    const getRoles = (name: string) =>
      new Set(grants.filter(({ account }) => account === `longhaul-${name}`).map(({ role }) => role));
    assert.deepEqual([...getRoles('check')], ['roles/logging.logWriter', 'roles/storage.objectViewer']);
    const deployRoles = ['roles/run.developer', 'roles/iam.serviceAccountUser', 'roles/run.invoker'];
    for (const role of deployRoles) {
      assert.ok(getRoles('deploy').has(role) && !getRoles('build').has(role), role);
    }
    for (const role of ['roles/artifactregistry.writer', 'roles/storage.objectCreator']) {
      assert.ok(getRoles('build').has(role) && !getRoles('deploy').has(role), role);
    }
  });

  test('test with an image that gets the tools which it lacks', () => {
    const check = readFileSync(path.join(projectDir, 'deploy/builds/check.yaml'), 'utf8');
    const [, installed = ''] = /apt-get install [^\n]*--no-install-recommends ([^\n]*)/.exec(check) ?? [];
    for (const tool of ['openssl', 'curl', 'python3']) assert.ok(installed.split(' ').includes(tool), tool);
    assert.ok(check.indexOf('apt-get install') < check.indexOf('npm test'));
  });

  test('run no package of the commit in the deployment', () => {
    const { steps } = parse(readFileSync(path.join(projectDir, 'cloudbuild.yaml'), 'utf8')) as {
      steps: { args: string[] }[];
    };
    const scripts = steps.map(({ args }) => args.join('\n'));
    for (const script of scripts) assert.doesNotMatch(script, /\bnpm\b|\bnode\b/);
  });
});

describe('builds', () => {
  /** Submitted by the scripts, and by the triggers of the guide: configuration, region and substitutions. */
  async function readSubmitted(env: Record<string, string>) {
    const commands = [
      ...(await dryRun('deploy.sh', env, ['images'])),
      ...(await dryRun('release.sh', env, ['1.2.3'])),
    ];
    return commands.map(({ words }) => words).filter((words) => words[1] === 'builds');
  }
  function readTriggers(): string[][] {
    const guide = readFileSync(path.join(projectDir, 'docs/operate/deploy.md'), 'utf8').replaceAll(
      '\\\n',
      '',
    );
    return [...guide.matchAll(/^gcloud builds triggers create .*$/gm)].map(([line]) => line.split(/ +/));
  }
  const readFlag = (words: readonly string[], flag: string) =>
    words.find((word) => word.startsWith(`--${flag}=`))?.slice(flag.length + 3) ?? '';

  // gcloud builds submit: key "_X" in the substitution data is not matched in the template.
  test('refer to each of their substitutions, and get each that is required', async () => {
    const modes = [{}, { AGENT_DIR: agentDir }, { IMAGES_FROM: 'source' }];
    const submitted = (await Promise.all(modes.map(readSubmitted))).flat();
    const triggers = readTriggers();
    assert.deepEqual([submitted.length, triggers.length], [12, 3]);
    for (const words of [...submitted, ...triggers]) {
      const config = readFlag(words, 'config') || path.join(projectDir, readFlag(words, 'build-config'));
      const { substitutions = {}, ...template } = parse(readFileSync(config, 'utf8')) as {
        substitutions?: Record<string, string>;
      };
      const pairs = readFlag(words, 'substitutions').split(',').filter(Boolean);
      const values = { ...substitutions, ...Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s))) };
      const used = JSON.stringify(template).match(/(?<=(?<!\$)(?:\$\$)*\$\{?)_[A-Z_0-9]+/g) ?? [];
      assert.deepEqual([...new Set(used)].sort(), Object.keys(values).sort(), config);
      assert.ok(!Object.values(values).includes('required'), words.join(' '));
    }
  });

  test('run in BUILD_REGION, and not in that of the services', async () => {
    const submitted = await readSubmitted({ REGION: 'europe-west4', BUILD_REGION: 'europe-west1' });
    for (const words of submitted) assert.equal(readFlag(words, 'region'), 'europe-west1');
    assert.match(readFlag(submitted[0]!, 'substitutions'), /^_REPOSITORY=europe-west4-docker/);
    assert.match(readFlag(submitted.at(-1)!, 'substitutions'), /,_REGION=europe-west4,/);
  });

  test('name the command that shows the log when one fails', async (t) => {
    const fake = createFakeProject(t);
    const bin = path.join(fake.dir, 'bin');
    const env = { PATH: `${bin}:${process.env['PATH']}`, FAKE_PROJECT: fake.dir, FAKE_BUILD_FAILS: 'yes' };
    const { code, errors } = await runScript('deploy.sh', ['images'], env);
    assert.equal(code, 1);
    assert.match(errors, /the build images\.yaml was refused or failed.*set BUILD_REGION/);
    assert.match(errors, /\n {2}gcloud beta builds log "\$\(gcloud builds list --region=us-central1 /);
  });
});

test('the package has the scripts with every file that they read', () => {
  const ofRepository = ['capacity', 'pin-images.sh'];
  const expected = readdirSync(path.join(projectDir, 'deploy')).filter(
    (name) => !ofRepository.includes(name),
  );
  assert.deepEqual(new Set(deployment), new Set(expected));
});
