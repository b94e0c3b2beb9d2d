/** How deploy.sh connects the services to the database, and what of it remove.sh deletes. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { createFakeProject, manifestNames } from '../../support/deploy/project.ts';
import { dryRun, runScript } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';

const existing = { ALLOYDB_CLUSTER: 'corp', ALLOYDB_INSTANCE: 'corp-primary' };

interface Container {
  name: string;
  args?: string[];
  resources?: { limits: { memory: string } };
  env?: { name: string; value?: string }[];
}

/** Runs a dry run, and returns its commands and the containers of each manifest, with the annotations of its template. */
async function deploy(t: TestContext, env: Record<string, string>) {
  const dir = createTempDir(t);
  const commands = (await dryRun('deploy.sh', { RENDERED_DIR: dir, ...env })).map(({ line }) => line);
  const pods = manifestNames
    .filter((name) => name !== 'grpc' && name !== 'worker-push')
    .map((name) => {
      const { spec } = parse(readFileSync(path.join(dir, `${name}.yaml`), 'utf8'));
      const pod = name === 'migrate' ? spec.template.spec.template.spec : spec.template.spec;
      return {
        name,
        containers: pod.containers as Container[],
        annotations: spec.template.metadata.annotations as Record<string, string>,
      };
    });
  return { commands, pods };
}

function readEnv([service]: readonly Container[], name: string): string | undefined {
  return service?.env?.find((entry) => entry.name === name)?.value;
}

describe('DATABASE_CONNECTION', () => {
  test('is the address in the network by default, without another container', async (t) => {
    const { commands, pods } = await deploy(t, {});
    for (const { containers, annotations } of pods) {
      assert.deepEqual(
        containers.map(({ name }) => name),
        ['service'],
      );
      assert.deepEqual(
        [readEnv(containers, 'DATABASE_HOST'), readEnv(containers, 'DATABASE_SSL')],
        ['10.21.0.2', 'require'],
      );
      assert.ok(!('run.googleapis.com/container-dependencies' in annotations));
    }
    assert.ok(!commands.some((line) => /forwarding-rules|public-ip|psc/.test(line)));
  });

  for (const connection of ['proxy', 'public']) {
    test(`${connection} adds the Auth Proxy to each service, of an existing cluster too`, async (t) => {
      const egress = connection === 'proxy' ? { DATABASE_EGRESS: '10.50.0.0/20' } : {};
      const { commands, pods } = await deploy(t, {
        DATABASE_CONNECTION: connection,
        ...existing,
        ...egress,
      });
      assert.ok(
        !commands.some((line) => /alloydb (clusters|instances|users) create|vpc-peerings/.test(line)),
      );
      const rule = commands.find((line) => line.includes('firewall-rules create longhaul-database'));
      if (connection === 'public') assert.equal(rule, undefined);
      else assert.match(rule ?? '', /tcp:5433 .*--destination-ranges=10\.50\.0\.0\/20/);
      for (const { name, containers, annotations } of pods) {
        const [service, proxy] = containers;
        assert.deepEqual([service?.name, proxy?.name], ['service', 'alloydb-auth-proxy']);
        assert.deepEqual(
          [readEnv(containers, 'DATABASE_HOST'), readEnv(containers, 'DATABASE_SSL')],
          ['127.0.0.1', 'disable'],
        );
        assert.equal(proxy?.args?.includes('--public-ip'), connection === 'public');
        assert.ok(proxy?.args?.includes('--http-address=0.0.0.0'));
        assert.equal(proxy?.resources?.limits.memory, '512Mi', 'less is refused in a worker pool');
        assert.equal(
          proxy?.args?.at(-1),
          'projects/my-project/locations/us-central1/clusters/corp/instances/corp-primary',
        );
        assert.deepEqual(JSON.parse(annotations['run.googleapis.com/container-dependencies'] ?? ''), {
          service: ['alloydb-auth-proxy'],
        });
        const stops = readEnv(containers, 'AUTH_PROXY_QUIT_URL');
        assert.equal(proxy?.args?.includes('--quitquitquit'), name === 'migrate');
        assert.equal(stops, name === 'migrate' ? 'http://127.0.0.1:9091/quitquitquit' : undefined);
      }
    });
  }

  test('public gives a new instance a public address', async (t) => {
    const { commands } = await deploy(t, { DATABASE_CONNECTION: 'public' });
    const instance = commands.find((line) => line.includes('alloydb instances create'));
    assert.match(instance ?? '', /--assign-inbound-public-ip=ASSIGN_IPV4/);
  });

  describe('in an existing network', () => {
    const network = { NETWORK: 'corp', SUBNET: 'run' };
    const own = { ...network, DATABASE_RANGE: '10.60.0.0' };
    const steps = ['network', 'alloydb'];
    const findAccess = (lines: readonly string[]) =>
      lines.filter((line) => /vpc-peerings|addresses|clusters create|longhaul-database/.test(line));

    test('uses a range of its private services access', async (t) => {
      const named = { ...network, DATABASE_RANGE_NAME: 'corp-services' };
      const lines = (await dryRun('deploy.sh', named, steps)).map(({ line }) => line);
      const [rule = '', cluster = '', ...others] = findAccess(lines);
      assert.match(rule, /firewall-rules create longhaul-database .*--destination-ranges=10\.30\.0\.0\/20/);
      assert.match(cluster, /clusters create longhaul .*--allocated-ip-range-name=corp-services/);
      assert.deepEqual(others, [], 'neither a range nor a connection is created');
      const removed = (await dryRun('remove.sh', named)).map(({ line }) => line);
      assert.ok(!removed.some((line) => /vpc-peerings|addresses delete/.test(line)));

      const fake = createFakeProject(t);
      mkdirSync(path.join(fake.dir, 'resources'));
      writeFileSync(
        path.join(fake.dir, 'resources/compute addresses corp-services'),
        '10.30.0.0 20 INTERNAL corp',
      );
      const { code, errors } = await runScript('deploy.sh', steps, { ...fake.environment, ...named });
      assert.equal(code, 1);
      assert.match(errors, /must be a range for private services access \(VPC_PEERING\) of the network corp/);
    });

    test('creates the private services access that it lacks', async () => {
      const created = findAccess((await dryRun('deploy.sh', own, steps)).map(({ line }) => line));
      assert.match(
        created.join('\n'),
        /addresses create longhaul-database .*--network=corp --addresses=10\.60\.0\.0/,
      );
      assert.match(created.join('\n'), /vpc-peerings connect --network=corp .*--ranges=longhaul-database/);
    });
  });

  test('psc creates a cluster with an endpoint, and no peering', async (t) => {
    const { commands, pods } = await deploy(t, { DATABASE_CONNECTION: 'psc' });
    const find = (text: string) => commands.find((line) => line.includes(text)) ?? '';
    assert.match(find('alloydb clusters create'), /--enable-private-service-connect/);
    assert.doesNotMatch(find('alloydb clusters create'), /--network/);
    assert.match(find('alloydb instances create'), /--allowed-psc-projects=123456789012/);
    assert.match(find('addresses create'), /longhaul-database --region=us-central1 --subnet=longhaul/);
    assert.match(find('forwarding-rules create'), /--target-service-attachment=projects\//);
    assert.match(find('firewall-rules create longhaul-database'), /--destination-ranges=10\.20\.0\.0\/24/);
    assert.ok(!commands.some((line) => line.includes('vpc-peerings')));
    for (const { containers } of pods) assert.equal(readEnv(containers, 'DATABASE_HOST'), '10.20.0.2');
  });

  test('psc connects to an existing cluster through an endpoint of its own', async (t) => {
    const subnet = { NETWORK: 'corp', SUBNET: 'run', DATABASE_EGRESS: '10.8.0.0/24' };
    const env = { DATABASE_CONNECTION: 'psc', ...existing, ...subnet };
    const { commands } = await deploy(t, env);
    const created = commands.filter((line) => / create /.test(line) && /alloydb|compute/.test(line));
    assert.deepEqual(
      created.map((line) => line.split(' ').slice(1, 5).join(' ')),
      [
        'compute firewall-rules create longhaul-database',
        'compute firewall-rules create longhaul-google-apis',
        'compute firewall-rules create longhaul-nothing-else',
        'compute addresses create longhaul-database',
        'compute forwarding-rules create longhaul-database',
      ],
    );
  });

  test('gives another deployment on the same cluster a database and users of its own', async (t) => {
    const { pods } = await deploy(t, { PREFIX: 'staging', DATABASE_HOST: '10.50.0.3' });
    for (const { containers } of pods) assert.equal(readEnv(containers, 'DATABASE_NAME'), 'staging');
    const { containers } = pods.find(({ name }) => name === 'migrate')!;
    assert.equal(
      readEnv(containers, 'DATABASE_GRANT_TO'),
      'api:staging_api,worker:staging_worker,dispatcher:staging_dispatcher',
    );
  });

  test('refuses settings that do not fit together', async () => {
    for (const [env, expected] of [
      [{ DATABASE_CONNECTION: 'vpn' }, /must be private, proxy, public or psc, not vpn/],
      [
        { DATABASE_CONNECTION: 'public', DATABASE_HOST: '10.1.1.1' },
        /set ALLOYDB_CLUSTER and ALLOYDB_INSTANCE/,
      ],
    ] as [Record<string, string>, RegExp][]) {
      const { code, errors } = await runScript('deploy.sh', ['--dry-run', 'network'], env);
      assert.equal(code, 1);
      assert.match(errors, expected);
    }
  });
});

describe('remove.sh', () => {
  test('keeps a cluster that deploy.sh did not create', async () => {
    const isCluster = ({ line }: { line: string }) => line.includes('alloydb clusters delete');
    assert.ok((await dryRun('remove.sh')).some(isCluster));
    assert.ok((await dryRun('remove.sh', { ALLOYDB_CLUSTER: 'longhaul-restored' })).some(isCluster));
    const others = [existing, { ALLOYDB_CLUSTER: 'longhaul2' }].map((cluster) => ({
      ...cluster,
      DATABASE_EGRESS: '10.50.0.0/20',
    }));
    for (const env of [...others, { DATABASE_HOST: '10.50.0.3' }]) {
      assert.ok(!(await dryRun('remove.sh', env)).some(isCluster));
    }
  });
});
