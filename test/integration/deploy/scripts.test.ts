/** deploy.sh against a fake project. */
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { parseSigningKeys } from '#shared/crypto/signing-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { agentDir, createFakeProject, type FakeProject } from '../../support/deploy/project.ts';
import { dryRun, run, runScript } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';

function readSecret(fake: FakeProject, name: string): string {
  return readFileSync(path.join(fake.dir, `resources/content ${name}`), 'utf8');
}

/** For runs that may fail. */
function getEnvironment(fake: FakeProject): Record<string, string> {
  const PATH = `${path.join(fake.dir, 'bin')}:${process.env['PATH']}`;
  return { PATH, FAKE_PROJECT: fake.dir, API_INVOKERS: 'user:you@example.com' };
}

/** Returns the distinct commands that changed something, without the names of resources. */
function takeVerbs(fake: FakeProject): string[] {
  return [...new Set(fake.takeChanges().map((line) => line.split(' ').slice(0, 3).join(' ')))];
}

const cleanup = createSuiteCleanup();
/** A project with everything that deploy.sh creates. Tests change copies of it. */
let deployed: FakeProject;
let created: string[];
before(async () => {
  deployed = createFakeProject(cleanup);
  await deployed.run('deploy.sh');
  created = deployed.takeChanges();
});

describe('deploy.sh', () => {
  test('creates everything on the first run, and only migrates on the second', async (t) => {
    assert.ok(created.length > 70, `${created.length} changes`);
    assert.ok(
      created.some((line) => line.startsWith('run worker-pools replace ')),
      'not a beta command',
    );
    const fake = createFakeProject(t, deployed);
    await fake.run('deploy.sh');
    assert.deepEqual(takeVerbs(fake), ['run jobs execute']);
    const calls = readFileSync(path.join(fake.dir, 'calls'), 'utf8').split('\u001E');
    const reads = calls.filter((call) => /get-iam-policy.*csv|secrets\u001Fversions\u001Flist/.test(call));
    assert.ok(reads.length > 30, `${reads.length} reads`);
    assert.deepEqual(reads, [...new Set(reads)], 'a policy or a version is read once');
  });

  test('generates secrets without showing them', async (t) => {
    const fake = createFakeProject(t);
    const { output } = await fake.run('deploy.sh', ['secrets']);
    const password = readSecret(fake, 'alloy_db_pass_api');
    assert.match(password, /^[A-Za-z0-9]{36,43}$/);
    assert.ok(!output.includes(password) && !fake.takeChanges().join().includes(password));
    assert.match(readSecret(fake, 'longhaul-encryption-keys'), /^k1:[A-Za-z0-9+/]{43}=$/);
  });

  test('names the missing package before it creates a secret', async (t) => {
    const fake = createFakeProject(t);
    const bin = path.join(fake.dir, 'bin');
    for (const name of ['bash', 'dirname', 'mktemp', 'mkdir', 'touch', 'rm']) {
      symlinkSync(path.join('/usr/bin', name), path.join(bin, name));
    }
    const ran = await runScript('deploy.sh', ['secrets'], { PATH: bin, FAKE_PROJECT: fake.dir });
    assert.equal(ran.code, 1);
    assert.match(ran.errors, /openssl is not installed; .*: install the package openssl/);
    assert.deepEqual(fake.takeChanges(), []);
  });

  test('publishes the public keys of the webhook signing keys', async (t) => {
    const fake = createFakeProject(t);
    await fake.run('deploy.sh', ['secrets']);
    const signing = parseSigningKeys(readSecret(fake, 'longhaul-webhook-signing-keys'));
    const published = parseSigningKeys(readSecret(fake, 'longhaul-webhook-public-keys'));
    assert.deepEqual([signing.problems, published.problems], [[], []]);
    assert.deepEqual(
      published.keys.map(({ publicJwk }) => publicJwk),
      signing.keys.map(({ publicJwk }) => publicJwk),
    );
    assert.ok(signing.keys[0]?.privateKey !== undefined && published.keys[0]?.privateKey === undefined);
  });

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
    const env = getEnvironment(fake);
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
    const env = getEnvironment(fake);
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

    const env = getEnvironment(fake);
    const unread = await runScript('deploy.sh', ['migrate'], { ...env, FAKE_JOBS: 'unreadable' });
    assert.match(unread.errors, /the jobs of us-central1 cannot be listed/);
    assert.deepEqual([unread.code, fake.takeChanges()], [1, []]);
  });

  test('switches the subscriptions to push once', async (t) => {
    const fake = createFakeProject(t, deployed);
    const push = { WORKER_MODE: 'push' };
    await fake.run('deploy.sh', ['pubsub'], push);
    const updated = fake.takeChanges().filter((line) => line.includes('modify-push-config'));
    assert.equal(updated.length, 2);
    await fake.run('deploy.sh', ['pubsub'], push);
    assert.deepEqual(fake.takeChanges(), []);
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
    const env = getEnvironment(fake);
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

  test('deploys an agent of a folder of its own, with its variables and secrets', async (t) => {
    const dir = createTempDir(t);
    const env = {
      AGENT_DIR: agentDir,
      AGENT_ENV: `ORDERS_URL=https://orders.example/a?b=1,2\nQUOTED='"x"'`,
      WORKER_SECRETS: 'ORDERS_TOKEN=orders-token',
    };
    const commands = await dryRun('deploy.sh', { RENDERED_DIR: dir, ...env });
    const lines = commands.map(({ line }) => line);
    const [build, ...others] = lines.filter((line) => line.includes('builds submit'));
    assert.match(
      build ?? '',
      new RegExp(`builds submit ${agentDir} --config=\\S+/deploy/builds/agent-image\\.yaml`),
    );
    assert.deepEqual(others, []);
    assert.ok(
      lines.some((line) => /secrets add-iam-policy-binding orders-token .*longhaul-worker@/.test(line)),
    );
    const read = (name: string) => parse(readFileSync(path.join(dir, `${name}.yaml`), 'utf8'));
    const getContainer = ({ spec }: ReturnType<typeof read>) =>
      (spec.template.spec.containers ?? spec.template.spec.template.spec.containers)[0];
    const containers = Object.fromEntries(
      ['api', 'worker', 'dispatcher', 'migrate'].map((name) => [name, getContainer(read(name))]),
    );
    for (const [name, { image, args }] of Object.entries(containers)) {
      assert.match(image, /\/longhaul\/agent@sha256:/);
      assert.deepEqual(args, [name]);
    }
    const variables = new Map(containers['worker'].env.map((entry: { name: string }) => [entry.name, entry]));
    assert.deepEqual(variables.get('ORDERS_URL'), {
      name: 'ORDERS_URL',
      value: 'https://orders.example/a?b=1,2',
    });
    assert.deepEqual(variables.get('QUOTED'), { name: 'QUOTED', value: '"x"' });
    const secretKeyRef = { name: 'orders-token', key: '1' };
    assert.deepEqual(variables.get('ORDERS_TOKEN'), { name: 'ORDERS_TOKEN', valueFrom: { secretKeyRef } });
  });

  test('runs from the program longhaul, in the folder of the agent', async (t) => {
    const cwd = createTempDir(t);
    const main = fileURLToPath(new URL('../../../services/cli/main.ts', import.meta.url));
    const env = { PATH: process.env['PATH'], PROJECT_ID: 'my-project' };
    const deploy = () => run(process.execPath, [main, 'deploy', '--dry-run', 'images'], { cwd, env });
    const refused = await deploy();
    assert.notEqual(refused.code, 0);
    assert.match(refused.errors, /has no Dockerfile: longhaul init writes one/);
    writeFileSync(path.join(cwd, 'Dockerfile'), '');
    writeFileSync(path.join(cwd, 'deploy.env'), 'REGION=europe-west4');
    const { code, output, errors } = await deploy();
    assert.equal(code, 0, errors);
    assert.match(output, new RegExp(`builds submit ${cwd} .*--region=europe-west4`));

    const dependencies = { longhaul: 'file:../longhaul-0.1.0.tgz' };
    writeFileSync(path.join(cwd, 'package.json'), JSON.stringify({ dependencies }));
    assert.match(
      (await deploy()).errors,
      /depends on "file:\.\.\/longhaul-0\.1\.0\.tgz", outside of the folder, .*npm install \.\/longhaul-0\.1\.0\.tgz there/,
    );
  });

  test('uses an existing network and an existing AlloyDB', async () => {
    const existing = { NETWORK: 'corp', SUBNET: 'run', DATABASE_HOST: '10.50.0.3' };
    const lines = (await dryRun('deploy.sh', existing)).map(({ line }) => line);
    assert.ok(
      !lines.some((line) =>
        /networks (subnets )?create|vpc-peerings|alloydb (clusters|instances)/.test(line),
      ),
    );
    const rules = lines.filter((line) => line.includes('firewall-rules create'));
    assert.deepEqual(
      rules.map((line) => /--network=(\S+)/.exec(line)?.[1]),
      ['corp', 'corp', 'corp'],
    );
    assert.match(rules[0] ?? '', /--destination-ranges=10\.50\.0\.3\/32/);
    assert.match(rules[1] ?? '', /google-apis .*=tcp:443 .*=199\.36\.153\.8\/30\\,199\.36\.153\.4\/30 /);

    const named = await runScript('deploy.sh', ['--dry-run', 'network'], { DATABASE_HOST: 'db.example.com' });
    assert.match(named.errors, /not an IPv4 address: set DATABASE_EGRESS/);
    const ranges = { DATABASE_HOST: 'db.example.com', DATABASE_EGRESS: '10.9.0.0/24' };
    const created = await dryRun('deploy.sh', ranges, ['network']);
    assert.ok(created.some(({ line }) => line.includes('--destination-ranges=10.9.0.0/24')));
  });

  test('changes the firewall rule when the addresses of the database change', async (t) => {
    const fake = createFakeProject(t);
    await fake.run('deploy.sh', ['network']);
    fake.takeChanges();
    await fake.run('deploy.sh', ['network'], { DATABASE_EGRESS: '10.9.0.0/24' });
    assert.deepEqual(takeVerbs(fake), ['compute firewall-rules update']);
  });
});
