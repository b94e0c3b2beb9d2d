/** The Terraform module and the scripts make the same resources and bindings, as the installed Terraform evaluates the module. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { agentDir, projectDir } from '../../../support/deploy/project.ts';
import { dryRun, run, type Command } from '../../../support/deploy/scripts.ts';
import { accepted, fitting, refused, together } from '../../../support/deploy/setting-values.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

const isInstalled = spawnSync('terraform', ['version']).status === 0;
const module = path.join(projectDir, 'deploy/terraform');

interface Inventory {
  names: Record<string, string[]>;
  grants: Record<string, { member: string; role: string; kind: string; resource: string }>;
  apis: string[];
  manifests: Record<string, { spec: { template: { spec: { containers: Container[] } } } }>;
  /** The values of the resources. */
  pods: Record<string, { serviceAccountName: string; networks: object[]; containers: PodContainer[] }>;
}

interface PodContainer {
  name: string;
  env: { name: string; valueFrom?: object }[];
  after: string[];
  startup: object[];
  live: object[];
}

interface Container {
  name: string;
  args: string[];
  env: { name: string; value?: string }[];
}

/** Evaluates the part of the module that needs no provider. */
async function evaluate(
  t: TestContext,
  settings: Record<string, string>,
  receiver = false,
  variables: Record<string, Record<string, string>> = {},
  versions: Record<string, string> = {},
): Promise<Inventory> {
  const dir = createTempDir(t);
  const env = {
    PATH: process.env['PATH'],
    HOME: dir,
    TF_DATA_DIR: path.join(dir, 'data'),
    CHECKPOINT_DISABLE: '1',
  };
  // In a value of a variable, "${" and "%{" start templates.
  const toLiteral = (value: object) => JSON.stringify(value).replace(/[$%](?=\{)/g, (sign) => sign + sign);
  const inputs = {
    settings: toLiteral({ PROJECT_ID: 'my-project', ...settings }),
    project_number: '123456789012',
    env: toLiteral(variables),
    receiver: String(receiver),
    secret_versions: JSON.stringify(versions),
    values: JSON.stringify({ database_address: '10.21.0.2', deploy_id: '100000000000000000001' }),
  };
  const flags = Object.entries(inputs).map(([name, value]) => `-var=${name}=${value}`);
  const plan = path.join(dir, 'plan');
  for (const args of [
    ['init', '-backend=false'],
    ['plan', '-refresh=false', '-lock=false', `-out=${plan}`, ...flags],
  ]) {
    const ran = await run('terraform', [`-chdir=${module}/inventory`, ...args, '-no-color'], { env });
    assert.equal(ran.code, 0, ran.output + ran.errors);
  }
  const { output } = await run('terraform', [`-chdir=${module}/inventory`, 'show', '-json', plan], { env });
  const { planned_values } = JSON.parse(output) as {
    planned_values: { outputs: Record<keyof Inventory, { value: never }> };
  };
  const { names, grants, apis, manifests, pods } = planned_values.outputs;
  return {
    names: names.value,
    grants: grants.value,
    apis: apis.value,
    manifests: manifests.value,
    pods: pods.value,
  };
}

/** The resources that commands create, as `group name`. */
function listCreated(commands: readonly Command[]): string[] {
  const created = commands.flatMap(({ words }) => {
    const [, ...rest] = words.filter((word) => !word.startsWith('--'));
    const verb = rest.findIndex((word) => word === 'create' || word === 'replace');
    if (verb === -1 || rest.includes('identity')) return [];
    const group = rest
      .slice(0, verb)
      .join(' ')
      .replace(/^(alpha|beta) /, '');
    const name = rest.at(-1)!;
    if (verb !== -1 && rest[verb] === 'replace') return [`${group} longhaul-${path.basename(name, '.yaml')}`];
    const flag = (prefix: string): string | undefined =>
      words.find((word) => word.startsWith(prefix))?.slice(prefix.length);
    const file = flag('--policy-from-file=') ?? flag('--config-from-file=');
    if (file !== undefined) return [`${group} ${path.basename(file, '.yaml').replace(/^alerts-/, '')}`];
    if (group === 'monitoring channels') return [`${group} ${flag('--channel-labels=email_address=')}`];
    return [`${group} ${name.replace(/^gs:\/\//, '').replace(/@.*/, '')}`];
  });
  return created.map((each) => each.replace('longhaul-worker-push', 'longhaul-worker')).toSorted();
}

/** The bindings that commands add, as `role member`. */
function listBound(commands: readonly Command[]): string[] {
  return commands
    .filter(({ line }) => line.includes(' add-iam-policy-binding '))
    .map(({ words }) => {
      const flag = (name: string) =>
        words.find((word) => word.startsWith(`--${name}=`))!.slice(name.length + 3);
      const [, ...rest] = words.filter((word) => !word.startsWith('--'));
      return `${rest
        .at(-1)!
        .replace(/^gs:\/\//, '')
        .replace(/@.*/, '')} ${flag('role')} ${flag('member')}`;
    })
    .toSorted();
}

describe('deploy/terraform', { skip: !isInstalled && 'terraform is not installed' }, () => {
  test('is formatted', async () => {
    const { code, output } = await run('terraform', ['fmt', '-check', '-recursive', module], {});
    assert.equal(code, 0, output);
  });

  const deployments: [name: string, settings: Record<string, string>, receiver?: boolean][] = [
    ['by default', { API_INVOKERS: 'user:a@example.com', ALERT_EMAIL: 'a@example.com' }],
    [
      'with push workers, gRPC and a receiver',
      { WORKER_MODE: 'push', GRPC_MAX: '2', DATABASE_USER: 'app' },
      true,
    ],
    ['with another prefix and region', { PREFIX: 'staging', REGION: 'europe-west4' }],
    ['with an existing network and database', { NETWORK: 'corp', SUBNET: 'run', DATABASE_HOST: '10.50.0.3' }],
    [
      'with a range of an existing network',
      { NETWORK: 'corp', SUBNET: 'run', DATABASE_RANGE_NAME: 'corp-services' },
    ],
    [
      'for anyone with an access token',
      {
        API_AUTH_MODES: 'google-oauth',
        API_OAUTH_AUDIENCE: 'c',
        API_INVOKERS: 'allUsers,user:a@example.com',
        SMOKE_SECRET: 's',
      },
    ],
    ['with Private Service Connect', { DATABASE_CONNECTION: 'psc' }],
    ['over a public address', { DATABASE_CONNECTION: 'public', WORKER_SECRETS: 'TOKEN=my-token' }],
    ['with an authority of the database', { DATABASE_SSL_CA_SECRET: 'ca', API_KEYS_SECRET: 'keys' }],
  ];
  for (const [name, settings, receiver = false] of deployments) {
    test(`makes what the scripts make ${name}`, async (t) => {
      const { names, grants, apis } = await evaluate(t, settings, receiver);
      const commands = await dryRun('deploy.sh', settings);
      if (receiver) commands.push(...(await dryRun('deploy.sh', settings, ['receiver'])));
      const prefix = settings['PREFIX'] ?? 'longhaul';
      const created = listCreated(commands).map((each) =>
        each.replace(/^(run \S+) longhaul-/, `$1 ${prefix}-`),
      );
      const inventory = Object.entries(names).flatMap(([group, list]) =>
        list.map((each) => `${group} ${each}`),
      );
      assert.deepEqual(inventory.toSorted(), created);
      const bucket = `my-project-${prefix}-build`;
      const bound = Object.values(grants).map(({ kind, resource, role, member }) => {
        const target = kind === 'project' ? 'my-project' : kind === 'bucket' ? bucket : resource;
        return `${target} ${role} ${member}`;
      });
      assert.deepEqual(bound.toSorted(), [...new Set(listBound(commands))]);
      const enabling = commands.filter(({ line }) => line.startsWith('gcloud services enable'));
      assert.deepEqual(
        apis,
        enabling.flatMap(({ words }) => words.slice(3)),
      );
    });
  }

  test('gives the services the containers of the manifests', async (t) => {
    const dir = createTempDir(t);
    const image = `registry/agent@sha256:${'1'.repeat(64)}`;
    const settings = { API_IMAGE: image, WORKER_IMAGE: image, AGENT_DIR: agentDir };
    const proxied = { ...settings, DATABASE_CONNECTION: 'proxy', PUBLIC_URL: 'https://agent.example.com' };
    const variables = {
      SERVICE_ENV: { RETENTION_DAYS: '30', OPERATORS: 'a,b' },
      DISPATCHER_ENV: { RETENTION_DAYS: '40' },
      AGENT_ENV: { A: 'b=c, "d" ${PREFIX} <e>', B: 'one\ntwo \\n' },
    };
    const lines = Object.entries(variables).map(([setting, values]) => [
      setting,
      Object.entries(values)
        .map(([name, value]) => (name === 'B' ? `${name}='${value}'` : `${name}=${value}`))
        .join('\n'),
    ]);
    const env = { RENDERED_DIR: dir, ...proxied, ...Object.fromEntries(lines) };
    await dryRun('deploy.sh', env, ['services']);
    const { manifests, pods } = await evaluate(t, proxied, false, variables);
    const { parse } = await import('yaml');
    const { readFileSync } = await import('node:fs');
    for (const name of ['api', 'dispatcher', 'worker']) {
      const rendered = parse(readFileSync(path.join(dir, `${name}.yaml`), 'utf8'));
      assert.deepEqual(
        manifests[`longhaul-${name}`]!.spec.template.spec.containers,
        rendered.spec.template.spec.containers,
      );
      const pod = pods[`longhaul-${name}`]!;
      assert.equal(pod.serviceAccountName, rendered.spec.template.spec.serviceAccountName);
      assert.deepEqual(
        pod.containers.map(({ name: container, after, startup, live }) => [
          container,
          after,
          startup.length,
          live.length,
        ]),
        [
          ['service', ['alloydb-auth-proxy'], 1, 1],
          ['alloydb-auth-proxy', [], 1, 0],
        ],
      );
      assert.deepEqual(pod.networks, [{ network: 'longhaul', subnetwork: 'longhaul', tags: ['longhaul'] }]);
    }
  });

  test('refuses anyone as a caller if the api does not authenticate callers', async (t) => {
    for (const modes of [{}, { API_AUTH_MODES: 'api-key,none' }])
      await assert.rejects(
        () => evaluate(t, { API_INVOKERS: 'allUsers', ...modes }),
        /API_INVOKERS lets anyone call/,
      );
  });

  test('refuses a setting that the scripts do not have', async (t) => {
    await assert.rejects(() => evaluate(t, { API_MAXIMUM: '3' }), /API_MAXIMUM is not a setting/);
  });

  test('refuses what the scripts refuse, by name, all together', async (t) => {
    const single = Object.entries(refused).filter(([name]) => !name.endsWith('_ENV'));
    const rounds = Math.max(...single.map(([, values]) => values.length));
    for (let round = 0; round < rounds; round++) {
      const wrong = single.filter(([, values]) => values[round] !== undefined);
      const settings = Object.fromEntries(wrong.map(([name, values]) => [name, values[round]!]));
      await assert.rejects(
        () => evaluate(t, settings),
        ({ message }: Error) =>
          wrong.every(([name]) => {
            assert.match(message, new RegExp(`^ {2}- ${name} must be .+`, 'm'));
            return true;
          }),
      );
    }
    const names = Object.keys(refused).filter((name) => name.endsWith('_ENV'));
    for (const name of names)
      for (const line of refused[name]!.filter((each) => /^[A-Z_]+=[^'"\n]*$/.test(each))) {
        const [variable = '', value = ''] = line.split('=');
        await assert.rejects(
          () => evaluate(t, {}, false, { [name]: { [variable]: value } }),
          ({ message }: Error) =>
            new RegExp(`^ {2}- ${name}(:| must not have) ${variable}`, 'm').test(message),
        );
      }
    for (const [settings, problem] of together)
      await assert.rejects(
        () => evaluate(t, settings),
        ({ message }: Error) => message.includes(problem),
      );
  });

  test('logs the migration in with the version of the password that is set', async (t) => {
    const { pods } = await evaluate(t, { PREFIX: 'staging' }, false, {}, { admin: '2' });
    const [service] = pods['staging-migrate']!.containers;
    const [password] = service!.env.filter(({ name }) => name === 'ALLOY_DB_PASS');
    const secretKeyRef = { name: 'staging-alloy_db_admin_pass', key: '2' };
    assert.deepEqual(password, { name: 'ALLOY_DB_PASS', valueFrom: { secretKeyRef } });
  });

  test('accepts what the scripts accept', async (t) => {
    for (const settings of fitting) await evaluate(t, settings);
    for (let round = 0; round < 3; round++) {
      const right = Object.entries(accepted).filter(([, values]) => values[round] !== undefined);
      await evaluate(t, Object.fromEntries(right.map(([name, values]) => [name, values[round]!])));
    }
  });
});
