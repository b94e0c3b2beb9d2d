/** remove.sh against a fake project that is deployed. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { createFakeProject, type FakeProject } from '../../../support/deploy/project.ts';

const cleanup = createSuiteCleanup();
/** A project with everything that deploy.sh creates. Tests use copies of it. */
let deployed: FakeProject;
before(async () => {
  deployed = createFakeProject(cleanup);
  await deployed.run('deploy.sh');
});

describe('remove.sh', () => {
  test('deletes everything on the first run and nothing on the second', async (t) => {
    const fake = createFakeProject(t, deployed);
    await fake.run('deploy.sh', ['pubsub'], { WORKER_MODE: 'push' });
    fake.takeChanges();
    await fake.run('remove.sh', ['--yes']);
    assert.ok(fake.takeChanges().length > 30);
    const remaining = readdirSync(path.join(fake.dir, 'resources')).filter(
      (name) =>
        !/^(apis|built|notified|content .*|contracted .*|image .*|manifest .*|alloydb .*)$/.test(name),
    );
    assert.deepEqual(remaining, []);
    await fake.run('remove.sh', ['--yes']);
    assert.deepEqual(fake.takeChanges(), []);
  });

  test('continues without commands for worker pools', async (t) => {
    const fake = createFakeProject(t, deployed);
    const push = await fake.run('remove.sh', ['--yes'], { WORKER_MODE: 'push', FAKE_WORKER_POOLS: 'none' });
    assert.match(push.output, /a pool longhaul-worker stays until gcloud is updated/);
    assert.ok(fake.takeChanges().some((line) => line.startsWith('alloydb clusters delete')));
  });

  test('leaves the secrets of another deployment, and secrets without its label', async (t) => {
    const fake = createFakeProject(t);
    const resources = path.join(fake.dir, 'resources');
    const readNames = () => readdirSync(resources).filter((name) => name.startsWith('secrets '));
    await fake.run('deploy.sh', ['secrets']);
    writeFileSync(path.join(resources, 'secrets staging-by-hand'), '');
    const before = readNames();
    const staging = { PREFIX: 'staging' };
    await fake.run('deploy.sh', ['secrets'], staging);
    assert.equal(readNames().length, 2 * (before.length - 1) + 1);
    await fake.run('remove.sh', ['--yes'], staging);
    assert.deepEqual(readNames(), before);
  });
});

describe('remove.sh in an existing network', () => {
  const own = { NETWORK: 'corp', SUBNET: 'run', DATABASE_RANGE: '10.60.0.0' };
  const steps = ['secrets', 'network', 'alloydb'];

  test('adds a range to its private services access, and takes it back', async (t) => {
    const fake = createFakeProject(t);
    mkdirSync(path.join(fake.dir, 'resources'));
    writeFileSync(path.join(fake.dir, 'resources/peering'), 'corp-sql,corp-redis');
    await fake.run('deploy.sh', steps, own);
    const read = () => readFileSync(path.join(fake.dir, 'resources/peering'), 'utf8');
    assert.equal(read(), 'corp-sql,corp-redis,longhaul-database');
    fake.takeChanges();
    await fake.run('deploy.sh', steps, own);
    assert.deepEqual(fake.takeChanges(), []);
    await fake.run('remove.sh', ['--yes'], own);
    assert.equal(read(), 'corp-sql,corp-redis');
  });

  test('removes the private services access that deploy.sh has created', async (t) => {
    const fake = createFakeProject(t);
    await fake.run('deploy.sh', steps, own);
    await fake.run('remove.sh', ['--yes'], own);
    assert.ok(fake.takeChanges().some((line) => line.startsWith('services vpc-peerings delete')));
  });
});
