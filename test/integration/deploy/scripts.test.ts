/**
 * The scripts of deploy/: a first run makes everything, a second one changes nothing, the removal leaves nothing; each
 * command, manifest and build is accepted by the parsers of the gcloud that is installed; and who may do what is as the
 * guide says.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  mkdirSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { gauges, instruments } from '#shared/runtime/instruments.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import { readMigrateConfig } from '#shared/runtime/config/operator.ts';
import { parseSigningKeys } from '#shared/crypto/signing-keys.ts';
import { readWorkerConfig } from '#shared/runtime/config/worker.ts';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { renderAccessTables, projectWide, readGrants, insertAccessTables } from '../../tools/access/matrix.ts';
import { dryRun, run, runScript, type ScriptResult } from '../../support/deploy/scripts.ts';

const project = fileURLToPath(new URL('../../../', import.meta.url));

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-deploy-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A project in a directory, and the scripts against it. */
function fakeProject(t: TestContext) {
  const dir = tempDir(t);
  mkdirSync(path.join(dir, 'bin'));
  symlinkSync(path.join(project, 'test/support/deploy/fake-gcloud.sh'), path.join(dir, 'bin/gcloud'));
  const changesFile = path.join(dir, 'changes');
  return {
    dir,
    run: async (script: string, args: string[] = [], env = {}): Promise<ScriptResult> => {
      const PATH = `${path.join(dir, 'bin')}:${process.env['PATH']}`;
      const ran = await runScript(script, args, {
        PATH,
        FAKE_PROJECT: dir,
        API_INVOKERS: 'user:you@example.com',
        ALERT_EMAIL: 'you@example.com',
        ...env,
      });
      assert.equal(ran.code, 0, ran.errors);
      return ran;
    },
    /** What was changed since the last look. */
    changes: (): string[] => {
      const lines = existsSync(changesFile) ? readFileSync(changesFile, 'utf8').trim().split('\n') : [];
      rmSync(changesFile, { force: true });
      return lines;
    },
  };
}

test('a first run makes everything, a second changes nothing, the removal leaves nothing', async (t) => {
  const fake = fakeProject(t);
  const first = await fake.run('deploy.sh');
  const made = fake.changes();
  assert.ok(made.length > 70, `${made.length} changes`);
  const password = readFileSync(path.join(fake.dir, 'there/content alloy_db_pass'), 'utf8');
  assert.match(password, /^[A-Za-z0-9]{36,43}$/);
  assert.ok(!first.output.includes(password) && !made.join().includes(password), 'a secret was shown');
  assert.match(
    readFileSync(path.join(fake.dir, 'there/content longhaul-encryption-keys'), 'utf8'),
    /^k1:[A-Za-z0-9+/]{43}=$/,
  );

  const content = (name: string): string =>
    readFileSync(path.join(fake.dir, `there/content longhaul-webhook-${name}`), 'utf8');
  const [signing, published] = [content('signing-keys'), content('public-keys')].map(parseSigningKeys);
  assert.deepEqual([signing?.problems, published?.problems], [[], []]);
  assert.deepEqual(
    published?.keys.map(({ publicJwk }) => publicJwk),
    signing?.keys.map(({ publicJwk }) => publicJwk),
  );
  assert.ok(signing?.keys[0]?.privateKey !== undefined && published?.keys[0]?.privateKey === undefined);

  await fake.run('deploy.sh');
  assert.deepEqual(fake.changes(), []);

  await fake.run('deploy.sh', ['services'], { API_MAX: '30' });
  const changed = fake.changes().map((line) => line.split(' ').slice(0, 3).join(' '));
  assert.deepEqual(
    [...new Set(changed)],
    ['run services replace', 'beta run worker-pools'],
    'API_MAX moves the sum',
  );

  await fake.run('deploy.sh', ['monitoring'], { WORKER_CONCURRENCY: '50' });
  assert.deepEqual(
    fake.changes().map((line) => line.split(' ').slice(0, 3).join(' ')),
    ['monitoring dashboards update'],
    'the dashboard shows the room for turns',
  );

  const push = { WORKER_MODE: 'push' };
  await fake.run('deploy.sh', ['pubsub'], push);
  const moved = fake.changes().filter((line) => line.includes('modify-push-config'));
  assert.equal(moved.length, 2);
  await fake.run('deploy.sh', ['pubsub'], push);
  assert.deepEqual(fake.changes(), []);

  await fake.run('remove.sh', ['--yes']);
  assert.ok(fake.changes().length > 30);
  const left = readdirSync(path.join(fake.dir, 'there')).filter(
    (name) => !/^(apis|built|executed|peering|content .*|alloydb .*)$/.test(name),
  );
  assert.deepEqual(left, []);
  await fake.run('remove.sh', ['--yes']);
  assert.deepEqual(fake.changes(), []);
});

test('connections that do not add up end the run before it begins', async () => {
  const ran = await runScript('deploy.sh', ['--dry-run'], { API_MAX: '500' });
  assert.equal(ran.code, 1);
  assert.match(ran.errors, /may open 5802 connections, and AlloyDB allows 1000: lower API_MAX/);
  assert.equal(ran.output, '');
});

test('a door that is open to all and asks nobody ends the run before it begins', async () => {
  const open = { API_INVOKERS: 'user:a@example.com,allUsers' };
  for (const modes of ['cloud-run-iam', 'none', 'api-key,cloud-run-iam']) {
    const ran = await runScript('deploy.sh', ['--dry-run'], { ...open, API_AUTH_MODES: modes });
    assert.equal(ran.code, 1);
    assert.match(ran.errors, /asks nobody who they are/);
  }
  await dryRun('deploy.sh', { ...open, API_AUTH_MODES: 'jwt' });
  await dryRun('deploy.sh', { ...open, API_AUTH_MODES: 'api-key', API_KEYS_SECRET: 'keys' });
});

const gcloud = findGcloud();

/** What is made only where it is asked for. */
const otherMode = { WORKER_MODE: 'push', GRPC_MAX: '2' };
/** What a run makes only of a project that is there already. */
const changesOf = (rendered: string): string[][] =>
  [
    'gcloud pubsub subscriptions update x --ack-deadline=600',
    'gcloud pubsub subscriptions modify-push-config x --push-endpoint=',
    `gcloud monitoring dashboards update x --config-from-file=${rendered}/dashboard.yaml`,
    `gcloud alpha monitoring policies update x --policy-from-file=${rendered}/alerts-queue-age.yaml`,
    'gcloud alpha monitoring policies delete x',
    'gcloud monitoring dashboards delete x',
    'gcloud beta monitoring channels delete x',
  ].map((line) => line.split(' '));
const alertNames = readdirSync(path.join(project, 'deploy/monitoring/alerts')).map((name) =>
  path.basename(name, '.yaml'),
);

test(
  'the gcloud that is installed accepts every command and file',
  { skip: gcloud === undefined },
  async (t) => {
    const rendered = tempDir(t);
    const everything = { RENDERED_DIR: rendered, ALERT_EMAIL: 'you@example.com' };
    const commands = [
      ...(await dryRun('deploy.sh', { ...everything, API_INVOKERS: 'user:you@example.com' })),
      ...(await dryRun('deploy.sh', { ...everything, ...otherMode })),
      ...(await dryRun('remove.sh')),
    ].map(({ words }) =>
      words.map((word) => (word.startsWith('--flags-file=') ? '--password=secret' : word)),
    );
    assert.ok(commands.length > 120, `${commands.length} commands`);
    commands.push(...buildCommands(), ...guideCommands(), ...changesOf(rendered));
    const files = (...names: string[]): string[] => names.map((name) => path.join(rendered, `${name}.yaml`));
    const manifests = files('api', 'dispatcher', 'worker', 'migrate', 'worker-push', 'grpc');
    const alerts = readdirSync(rendered).filter((name) => name.startsWith('alerts-'));
    assert.equal(alerts.length, alertNames.length);
    const builds = [path.join(project, 'cloudbuild.yaml'), path.join(project, 'deploy/images.yaml')];
    const monitoring = {
      dashboards: files('dashboard'),
      alerts: alerts.map((name) => path.join(rendered, name)),
    };
    assert.deepEqual(await refusedBy(gcloud!, { commands, manifests, builds, ...monitoring }), []);
  },
);

test(
  'the check would see a flag, a value and a field that are wrong',
  { skip: gcloud === undefined },
  async (t) => {
    const dir = tempDir(t);
    const manifest = path.join(dir, 'wrong.yaml');

    writeFileSync(manifest, 'kind: Service\nspec: { template: { spec: { containerConcurency: 1 } } }\n');
    const build = path.join(dir, 'build.yaml');
    writeFileSync(build, 'steps: [{ name: x, argz: [] }]\n');
    const commands = [
      ['gcloud', 'run', 'jobs', 'execute', 'x', '--region=r', '--waits'],
      ['gcloud', 'alloydb', 'instances', 'create', 'x', '--cluster=c', '--region=r', '--instance-type=WRONG'],
      ['gcloud', 'run', 'jobs', 'executed', 'x'],
    ];
    const alert = path.join(dir, 'alert.yaml');
    writeFileSync(alert, 'conditions: [{ conditionPrometheusQueryLanguage: { qwery: up } }]\n');
    const wrong = { manifests: [manifest], builds: [build], dashboards: [alert], alerts: [alert] };
    const refused = await refusedBy(gcloud!, { commands, ...wrong });
    assert.equal(refused.length, 7, JSON.stringify(refused));
  },
);

test('manifests: images by digest, own accounts, secrets by version, the private ones internal', async (t) => {
  const rendered = tempDir(t);
  await dryRun('deploy.sh', { RENDERED_DIR: rendered });
  await dryRun('deploy.sh', { RENDERED_DIR: rendered, ...otherMode });
  const accounts = new Set<string>();
  for (const name of ['api', 'grpc', 'dispatcher', 'worker', 'worker-push', 'migrate']) {
    const content = await readFile(path.join(rendered, `${name}.yaml`), 'utf8');
    assert.doesNotMatch(content, /\$\{/);
    const manifest = parse(content);
    const spec = name === 'migrate' ? manifest.spec.template.spec.template.spec : manifest.spec.template.spec;
    accounts.add(spec.serviceAccountName);
    const [container] = spec.containers;
    assert.match(container.image, /@sha256:[0-9a-f]{64}$/);
    for (const { name: variable, valueFrom } of container.env) {
      if (valueFrom !== undefined) assert.match(valueFrom.secretKeyRef.key, /^\d+$/, variable);
    }
    const ingress = manifest.metadata.annotations?.['run.googleapis.com/ingress'];
    const doors = { api: 'all', grpc: 'all', dispatcher: 'internal', 'worker-push': 'internal' };
    assert.equal(ingress, doors[name as keyof typeof doors]);
  }
  assert.equal(accounts.size, 4);
});

test('each service takes the configuration that its manifest gives it', async (t) => {
  const rendered = tempDir(t);
  await dryRun('deploy.sh', { RENDERED_DIR: rendered });
  await dryRun('deploy.sh', { RENDERED_DIR: rendered, ...otherMode });
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const keySet = (key: KeyObject): string =>
    JSON.stringify({ keys: [{ ...key.export({ format: 'jwk' }), kid: 'k' }] });
  const secrets: Record<string, string> = {
    'longhaul-encryption-keys': `k1:${Buffer.alloc(32).toString('base64')}`,
    'longhaul-webhook-signing-keys': keySet(privateKey),
    'longhaul-webhook-public-keys': keySet(publicKey),
  };
  const environmentOf = async (name: string): Promise<Environment> => {
    const manifest = parse(await readFile(path.join(rendered, `${name}.yaml`), 'utf8'));
    const spec = name === 'migrate' ? manifest.spec.template.spec.template.spec : manifest.spec.template.spec;
    const variables = spec.containers[0].env as { name: string; value?: string }[];
    return Object.fromEntries(
      variables.map(({ name, value }) => {
        const [, secret] =
          /^sm:\/\/projects\/my-project\/secrets\/([\w-]+)\/versions\/latest$/.exec(value ?? '') ?? [];
        return [name, secret === undefined ? (value ?? 'from-a-secret') : (secrets[secret] ?? '')];
      }),
    );
  };
  const api = readApiConfig(await environmentOf('api'));
  const dispatcher = readDispatcherConfig(await environmentOf('dispatcher'));
  const worker = readWorkerConfig(await environmentOf('worker'));
  const pushed = readWorkerConfig(await environmentOf('worker-push'));
  const grpc = readApiConfig(await environmentOf('grpc'));
  const migrate = readMigrateConfig(await environmentOf('migrate'));
  for (const { database, cloudTasks, telemetry } of [api, grpc, dispatcher, worker, pushed]) {
    const { traces, metrics, google, sampler } = telemetry;
    assert.deepEqual([traces, metrics, google, sampler], [true, true, true, 'traceidratio']);
    assert.deepEqual(database.ssl, { mode: 'require' });
    assert.ok(database.plannedConnections > database.poolSize);
    assert.equal(cloudTasks.serviceAccount, 'longhaul-tasks@my-project.iam.gserviceaccount.com');
    assert.equal(cloudTasks.dispatcherUrl, 'https://longhaul-dispatcher-123456789012.us-central1.run.app');
  }
  assert.deepEqual(dispatcher.callers, {
    auth: { mode: 'iam', audience: dispatcher.cloudTasks.dispatcherUrl },
    tasksAccount: dispatcher.cloudTasks.serviceAccount,
    schedulerAccount: 'longhaul-scheduler@my-project.iam.gserviceaccount.com',
  });
  assert.deepEqual(api.auth, {
    apiKeys: undefined,
    jwt: undefined,
    cloudRunIam: { audience: [api.publicUrl, '32555940559.apps.googleusercontent.com'] },
  });
  assert.equal(worker.gemini.vertexai, true);
  const workerUrl = 'https://longhaul-worker-123456789012.us-central1.run.app';
  assert.deepEqual(pushed.push, {
    auth: { mode: 'iam', audience: workerUrl },
    account: 'longhaul-push@my-project.iam.gserviceaccount.com',
    deadlineMs: 600_000,
  });
  assert.deepEqual([grpc.http, grpc.grpcPort], [false, 8080]);
  const target = 'longhaul-grpc-123456789012.us-central1.run.app:443';
  assert.deepEqual([api.grpcPublicTarget, grpc.grpcPublicTarget], [target, target]);
  assert.ok(dispatcher.signing.keys[0]?.privateKey !== undefined);
  assert.equal(dispatcher.signing.issuer, api.publicUrl);
  assert.ok(api.webhookKeys[0] !== undefined && api.webhookKeys[0].privateKey === undefined);
  assert.deepEqual([migrate.create, migrate.grantTo], [true, 'from-a-secret']);
});

test('dashboard and alerts ask for metrics and attributes that there are; the runbook has each alert', async () => {
  const [metrics, runbook] = await Promise.all(
    ['docs/observability.md', 'docs/runbook.md'].map((name) => readFile(path.join(project, name), 'utf8')),
  );
  const histograms = new Set(
    [...metrics!.matchAll(/^\| `([\w.]+)` \| \S+ \| histogram/gm)].map(([, name]) => name),
  );
  const known = new Set([...Object.values(instruments), ...Object.values(gauges)].map(({ name }) => name));
  const files = ['dashboard', ...alertNames.map((name) => `alerts/${name}`)];
  const asked = files.flatMap((name) => {
    const content = readFileSync(path.join(project, `deploy/monitoring/${name}.yaml`), 'utf8');
    return [...content.matchAll(/"((?:longhaul|gen_ai)\.[\w.]+)"/g)].map(([, word]) => word!);
  });
  assert.ok(asked.length > 40, `${asked.length} names`);
  for (const name of asked) {
    const whole = name.replace(/_(bucket|count|sum)$/, '');
    const isMetric = known.has(whole) && (whole !== name) === histograms.has(whole);
    const isAttribute = metrics!.includes(`\`${name}\``) && !known.has(whole);
    assert.ok(isMetric || isAttribute, `${name} is neither a metric nor an attribute of one`);
  }
  for (const name of alertNames) assert.match(runbook!, new RegExp(`^## ${name}$`, 'm'));
  assert.equal(runbook!.match(/^## /gm)?.length, alertNames.length, 'an alert of the runbook is gone');
});

test('who may do what is as the guide says, and nothing more stands on the project', async () => {
  for (const { role, resource, account } of await readGrants()) {
    if (resource === 'the project')
      assert.ok(role in projectWide, `${account} has ${role} on the whole project`);
    assert.doesNotMatch(role, /roles\/(owner|editor|viewer)$/);
  }
  const guide = await readFile(path.join(project, 'docs/deploy.md'), 'utf8');
  assert.equal(
    insertAccessTables(guide, await renderAccessTables()),
    guide,
    'run "npm run access" and look at the difference',
  );
});

/** The commands in the steps of cloudbuild.yaml, with what the shell would fill in. */
function buildCommands(): string[][] {
  const { steps } = parse(readFileSync(path.join(project, 'cloudbuild.yaml'), 'utf8')) as {
    steps: { args: string[] }[];
  };
  const lines = steps.flatMap(({ args }) => args.flatMap((arg) => arg.split('\n')));
  const commands = lines.flatMap(
    (line) => /gcloud [^|;>]*/.exec(line.replace(/\$\$\(cat [^)]*\)|"?\$\$?\w+"?/g, 'x'))?.[0] ?? [],
  );
  assert.ok(commands.length >= 8, `${commands.length} commands`);
  return commands.map((command) => command.replace(/['")]/g, '').trim().split(/\s+/));
}

/** The commands that the guide tells the reader to type. */
function guideCommands(): string[][] {
  const guide = readFileSync(path.join(project, 'docs/deploy.md'), 'utf8');
  const blocks = [...guide.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) =>
    block!.replaceAll('\\\n', ' '),
  );
  const commands = blocks.flatMap((block) =>
    block.split('\n').flatMap((line) => /gcloud (?:'[^']*'|[^|)'])*/.exec(line)?.[0] ?? []),
  );
  assert.ok(commands.length >= 25, `${commands.length} commands`);
  return commands.map((command) =>
    [...command.replace(/\$\w+/g, 'my-project').matchAll(/(?:'[^']*'|[^\s'])+/g)]
      .map(([word]) => word.replaceAll("'", ''))
      .map((word) => (word.startsWith('--flags-file=') ? '--password=secret' : word)),
  );
}

async function refusedBy(
  root: string,
  asked: Record<'manifests' | 'builds' | 'dashboards' | 'alerts', string[]> & { commands: string[][] },
): Promise<[string, string][]> {
  const python = path.join(root, 'platform/bundledpythonunix/bin/python3');
  const script = path.join(project, 'test/support/deploy/gcloud-parser.py');
  const ran = await run(
    existsSync(python) ? python : 'python3',
    [script, path.join(root, 'lib')],
    { env: { PATH: process.env['PATH'], HOME: os.tmpdir(), CLOUDSDK_CORE_DISABLE_PROMPTS: '1' } },
    JSON.stringify(asked),
  );
  assert.equal(ran.code, 0, ran.errors);
  return JSON.parse(ran.output) as [string, string][];
}

/** The directory of the SDK that the `gcloud` on the path belongs to. */
function findGcloud(): string | undefined {
  for (const dir of (process.env['PATH'] ?? '').split(':')) {
    const file = path.join(dir, 'gcloud');
    if (!existsSync(file)) continue;
    for (const root of [path.join(realpathSync(file), '../../..'), '/usr/lib/google-cloud-sdk']) {
      if (existsSync(path.join(root, 'lib/googlecloudsdk'))) return root;
    }
  }
  return undefined;
}
