/** The callers of the services that deploy.sh deploys, and which settings a later run may not replace by their defaults. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { createFakeProject, type FakeProject } from '../../../support/deploy/project.ts';
import { runScript } from '../../../support/deploy/scripts.ts';

const cleanup = createSuiteCleanup();
/** Deployed with the defaults. */
let deployed: FakeProject;
const open = { API_AUTH_MODES: 'google-oauth', API_OAUTH_AUDIENCE: 'client', API_INVOKERS: 'allUsers' };
/** Deployed for people with access tokens. */
let opened: FakeProject;
before(async () => {
  deployed = createFakeProject(cleanup);
  await deployed.run('deploy.sh', [], { WORKER_MODE: 'push' });
  opened = createFakeProject(cleanup, deployed);
  await opened.run('deploy.sh', ['services'], { WORKER_MODE: 'push', ...open });
});

function copy(t: TestContext, original: FakeProject): FakeProject {
  const fake = createFakeProject(t, original);
  fake.takeChanges();
  return fake;
}

/** Runs the step services without the settings that tests have by default. */
function deploy(fake: FakeProject, env: Record<string, string>) {
  return runScript('deploy.sh', ['services'], {
    ...fake.environment,
    WORKER_MODE: 'push',
    ...env,
  });
}

function addInvoker(fake: FakeProject, service: string, member: string): void {
  appendFileSync(path.join(fake.dir, 'policy'), `run services|${service}|roles/run.invoker|${member}\n`);
}

function listInvokers(fake: FakeProject, service: string): string[] {
  const lines = readFileSync(path.join(fake.dir, 'policy'), 'utf8').trim().split('\n');
  return lines.flatMap((line) => {
    const [group, name, role, member] = line.split('|');
    const isInvoker = group === 'run services' && name === service && role === 'roles/run.invoker';
    return isInvoker ? [member!.replace(/@my-project.*/, '')] : [];
  });
}

function isChecked(fake: FakeProject, service: string): boolean {
  const manifest = readFileSync(path.join(fake.dir, `resources/manifest ${service}`), 'utf8');
  return /invoker-iam-disabled: "false"/.test(manifest);
}

const build = 'serviceAccount:longhaul-deploy';

describe('invokers', () => {
  test('are those of the settings, and no others', async (t) => {
    const fake = copy(t, deployed);
    assert.deepEqual(listInvokers(fake, 'longhaul-api'), [build, 'user:you@example.com']);
    addInvoker(fake, 'longhaul-dispatcher', 'user:me@example.com');
    addInvoker(fake, 'longhaul-worker', 'allUsers');
    const { code, errors } = await deploy(fake, { API_INVOKERS: 'group:agents@example.com' });
    assert.equal(code, 0, errors);
    assert.deepEqual(listInvokers(fake, 'longhaul-api'), [build, 'group:agents@example.com']);
    const tasks = ['serviceAccount:longhaul-tasks', 'serviceAccount:longhaul-scheduler'];
    assert.deepEqual(listInvokers(fake, 'longhaul-dispatcher'), tasks);
    assert.deepEqual(listInvokers(fake, 'longhaul-worker'), ['serviceAccount:longhaul-push']);
  });

  test('are not revoked by a run that does not name them', async (t) => {
    const fake = copy(t, deployed);
    const refused = await deploy(fake, {});
    assert.match(refused.errors, /\n {2}export API_INVOKERS=user:you@example\.com\n/);
    assert.deepEqual([refused.code, fake.takeChanges()], [1, []]);
    assert.equal((await deploy(fake, { API_INVOKERS: '' })).code, 0);
    assert.deepEqual(listInvokers(fake, 'longhaul-api'), [build]);
  });

  test('are anyone without a binding of allUsers, which organizations forbid', () => {
    assert.equal(isChecked(opened, 'longhaul-api'), false);
    assert.deepEqual(listInvokers(opened, 'longhaul-api'), [build]);
  });

  test('are closed before a mode that relies on the check of Cloud Run', async (t) => {
    const fake = copy(t, opened);
    addInvoker(fake, 'longhaul-api', 'allUsers');
    const refused = await deploy(fake, {});
    assert.match(
      refused.errors,
      /export API_AUTH_MODES=google-oauth API_OAUTH_AUDIENCE=client API_INVOKERS=allUsers/,
    );
    assert.deepEqual([refused.code, fake.takeChanges()], [1, []]);

    const settings = { API_AUTH_MODES: 'cloud-run-iam', API_INVOKERS: 'user:you@example.com' };
    const answers = path.join(fake.dir, 'statuses');
    writeFileSync(answers, '200\n200\n403\n');
    const closed = await deploy(fake, { ...settings, FAKE_STATUSES: answers });
    assert.equal(closed.code, 0, closed.errors);
    assert.equal(readFileSync(answers, 'utf8'), '', 'asked until it was refused');
    assert.equal(isChecked(fake, 'longhaul-api'), true);
    assert.deepEqual(listInvokers(fake, 'longhaul-api'), [build, 'user:you@example.com']);
    const changes = fake.takeChanges().join('\n');
    assert.match(
      changes,
      /run services update longhaul-api[^]*remove-iam-policy-binding longhaul-api[^]*allUsers\n[^]*run services replace/,
    );
  });

  test('keep the revision that does not rely on the check while it is not in force', async (t) => {
    const fake = copy(t, opened);
    const answers = path.join(fake.dir, 'statuses');
    writeFileSync(answers, '200\n'.repeat(1000));
    const settings = { API_AUTH_MODES: 'cloud-run-iam', API_INVOKERS: '', CLOSE_SECONDS: '1' };
    const { code, errors } = await deploy(fake, { ...settings, FAKE_STATUSES: answers });
    assert.equal(code, 1);
    assert.match(errors, /longhaul-api still answers callers without a token \(status 200\)/);
    assert.ok(!fake.takeChanges().some((line) => line.includes('replace') && line.includes('/api.yaml')));
  });

  test('are not all Google accounts with the mode none', async (t) => {
    const fake = copy(t, opened);
    addInvoker(fake, 'longhaul-api', 'allAuthenticatedUsers');
    const { code, errors } = await deploy(fake, {
      API_AUTH_MODES: 'none',
      API_INVOKERS: 'user:you@example.com',
    });
    assert.equal(code, 0, errors);
    assert.match(
      fake.takeChanges().join('\n'),
      /remove-iam-policy-binding longhaul-api[^]*allAuthenticatedUsers\n[^]*run services replace/,
    );
    assert.deepEqual(listInvokers(fake, 'longhaul-api'), [build, 'user:you@example.com']);
  });

  test('are closed if someone has turned the check off by hand', async (t) => {
    const fake = copy(t, deployed);
    const manifest = path.join(fake.dir, 'resources/manifest longhaul-api');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('disabled: "false"', 'disabled: "True"'));
    const { code, errors } = await deploy(fake, { API_INVOKERS: 'user:you@example.com' });
    assert.equal(code, 0, errors);
    assert.equal(isChecked(fake, 'longhaul-api'), true);
  });
});

test('a service for gRPC is kept, or deleted by hand', async (t) => {
  const fake = copy(t, deployed);
  const own = { API_INVOKERS: 'user:you@example.com' };
  assert.equal((await deploy(fake, { ...own, GRPC_MAX: '5' })).code, 0);
  fake.takeChanges();
  const lost = await deploy(fake, own);
  assert.match(lost.errors, /\n {2}export GRPC_MAX=5\n/);
  const left = await deploy(fake, { ...own, GRPC_MAX: '0' });
  assert.match(left.errors, /set GRPC_MAX=5\. To delete it:\n {2}gcloud run services delete longhaul-grpc /);
  assert.deepEqual([lost.code, left.code, fake.takeChanges()], [1, 1, []]);
});

test('workers that Pub/Sub calls do not become a pool by the default', async (t) => {
  const fake = copy(t, deployed);
  const env = fake.environment;
  const refused = await runScript('deploy.sh', ['services'], {
    ...env,
    API_INVOKERS: 'user:you@example.com',
  });
  assert.match(refused.errors, /\n {2}export WORKER_MODE=push\n/);
  assert.deepEqual([refused.code, fake.takeChanges()], [1, []]);
});

test('alerts keep the address that they notify', async (t) => {
  const fake = copy(t, deployed);
  const env = fake.environment;
  const refused = await runScript('deploy.sh', ['monitoring'], env);
  assert.match(refused.errors, /\n {2}export ALERT_EMAIL=you@example\.com\n/);
  assert.deepEqual([refused.code, fake.takeChanges()], [1, []]);
  assert.equal((await runScript('deploy.sh', ['monitoring'], { ...env, ALERT_EMAIL: '' })).code, 0);
});

test('an ingress that was closed by hand stays closed', async (t) => {
  const fake = copy(t, deployed);
  const manifest = path.join(fake.dir, 'resources/manifest longhaul-api');
  const read = () => readFileSync(manifest, 'utf8');
  const closed = 'ingress: internal-and-cloud-load-balancing';
  writeFileSync(manifest, read().replace('ingress: all', closed));
  const { code, output, errors } = await deploy(fake, { API_INVOKERS: 'user:you@example.com', API_MAX: '7' });
  assert.equal(code, 0, errors);
  assert.match(
    output,
    /longhaul-api keeps the ingress internal-and-cloud-load-balancing.*gcloud run services update longhaul-api --region=us-central1 --ingress=all$/m,
  );
  assert.match(read(), /maxScale: "7"/);
  assert.ok(read().includes(closed));
});

describe('a run without the settings of the deployment', () => {
  const own = { API_INVOKERS: 'user:you@example.com' };
  const settings = {
    ...own,
    API_AUTH_MODES: 'api-key',
    API_KEYS_SECRET: 'keys',
    CONTENT_KMS_KEY: 'projects/p/locations/l/keyRings/r/cryptoKeys/k',
    CONTENT_KEY_STORE: 'gs://keys',
    DATABASE_SSL_CA_SECRET: 'ca',
    DATABASE_HOST: '10.50.0.3',
    NETWORK: 'corp',
    SUBNET: 'run',
  };

  test('is refused, and prints them', async (t) => {
    const fake = copy(t, deployed);
    const first = await deploy(fake, settings);
    assert.equal(first.code, 0, first.errors);
    fake.takeChanges();
    const second = await deploy(fake, {});
    const [, printed = ''] = /\n {2}export (.*)\n/.exec(second.errors) ?? [];
    const expected = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    assert.deepEqual(printed.split(' ').toSorted(), expected.toSorted());
    assert.deepEqual([second.code, fake.takeChanges()], [1, []]);
  });

  test('changes what it has with another value, which may be empty', async (t) => {
    const fake = copy(t, deployed);
    const proxied = { ...own, DATABASE_CONNECTION: 'proxy' };
    assert.equal((await deploy(fake, proxied)).code, 0);
    const refused = await deploy(fake, own);
    assert.match(refused.errors, /\n {2}export DATABASE_CONNECTION=proxy\n/);
    const { code, errors } = await deploy(fake, { API_INVOKERS: '', DATABASE_CONNECTION: 'private' });
    assert.equal(code, 0, errors);
  });
});
