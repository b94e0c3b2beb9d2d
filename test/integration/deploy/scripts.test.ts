/** deploy.sh against a fake project. */
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { parseSigningKeys } from '#shared/crypto/signing-keys.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { agentDir, createFakeProject, takeVerbs, type FakeProject } from '../../support/deploy/project.ts';
import { dryRun, run, runScript } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';

function readSecret(fake: FakeProject, name: string): string {
  return readFileSync(path.join(fake.dir, `resources/content ${name}`), 'utf8');
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
    const reads = calls.filter((call) => /get-iam-policy.*csv|secrets.versions.list/.test(call));
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

  test('switches the subscriptions to push once', async (t) => {
    const fake = createFakeProject(t, deployed);
    const push = { WORKER_MODE: 'push' };
    await fake.run('deploy.sh', ['pubsub'], push);
    const updated = fake.takeChanges().filter((line) => line.includes('modify-push-config'));
    assert.equal(updated.length, 2);
    await fake.run('deploy.sh', ['pubsub'], push);
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
