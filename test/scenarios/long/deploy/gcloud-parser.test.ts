/** Every command, manifest and build is accepted by the parsers of the installed gcloud. */
import assert from 'node:assert/strict';
import { globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { checkWithGcloud, findGcloud } from '../../../support/deploy/gcloud.ts';
import { createCloudRun } from '../../../support/deploy/cloud-run.ts';
import {
  agentDir,
  createFakeProject,
  manifestNames,
  otherMode,
  projectDir,
} from '../../../support/deploy/project.ts';
import { dryRun } from '../../../support/deploy/scripts.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

const gcloud = findGcloud();
const buildFiles = ['cloudbuild.yaml', ...globSync('deploy/builds/*.yaml', { cwd: projectDir })].map((name) =>
  path.join(projectDir, name),
);

const rolloutSteps = ['prepare', 'smoke', 'canary', 'drain', 'promote', 'back', 'contract'];
const network = { NETWORK: 'corp', SUBNET: 'run', DATABASE_RANGE: '10.60.0.0' };
const rollout = {
  CANARY_PERCENT: '10',
  WORKER_INSTANCES: '2',
  API_IMAGE: `registry/api@sha256:${'1'.repeat(64)}`,
  WORKER_IMAGE: `registry/worker@sha256:${'1'.repeat(64)}`,
};

describe('installed gcloud', { skip: gcloud === undefined }, () => {
  test('accepts every command and file', async (t) => {
    const [rendered, proxied] = [createTempDir(t), createTempDir(t)];
    const everything = { RENDERED_DIR: rendered, ALERT_EMAIL: 'you@example.com' };
    const commands = [
      ...(await dryRun('deploy.sh', { ...everything, API_INVOKERS: 'user:you@example.com' })),
      ...(await dryRun('deploy.sh', { ...everything, ...otherMode })),
      ...(await dryRun('deploy.sh', everything, ['receiver'])),
      ...(await dryRun('deploy.sh', { DATABASE_CONNECTION: 'psc', RENDERED_DIR: createTempDir(t) })),
      ...(await dryRun('deploy.sh', { DATABASE_CONNECTION: 'public', RENDERED_DIR: proxied })),
      ...(await dryRun('deploy.sh', { ...network, DATABASE_RANGE_NAME: 'corp-services' }, [
        'network',
        'alloydb',
      ])),
      ...(await dryRun('deploy.sh', network, ['network', 'alloydb'])),
      ...(await dryRun('remove.sh', network)),
      ...(await dryRun('remove.sh', { DATABASE_CONNECTION: 'psc' })),
      ...(await dryRun('release.sh', { AGENT_DIR: agentDir }, ['1.2.3'])),
      ...(await dryRun('remove.sh')),
      ...(await dryRun('admin.sh', {}, ['reencrypt'])),
      ...(await dryRun('admin.sh', {}, ['limits', 'set', 'key:a,b', 'openTasks=5'])),
      ...(await dryRun('release.sh', {}, ['1.2.3'])),
      ...(
        await Promise.all(
          [rollout, { ...rollout, ...otherMode }].flatMap((settings) =>
            rolloutSteps.map((step) => dryRun('rollout.sh', settings, [step, '1.2.3'])),
          ),
        )
      ).flat(),
    ].map(({ words }) => words.map(withoutFlagsFile));
    assert.ok(commands.length > 120, `${commands.length} commands`);
    commands.push(...readBuildCommands(), ...readGuideCommands(), ...createUpdateCommands(rendered));

    const toPath = (name: string): string => path.join(rendered, `${name}.yaml`);
    const alerts = readdirSync(rendered).filter((name) => name.startsWith('alerts-'));
    assert.equal(alerts.length, readdirSync(path.join(projectDir, 'deploy/monitoring/alerts')).length);
    const input = {
      // Several dry runs have the same commands.
      commands: [...new Map(commands.map((words) => [words.join(' '), words])).values()],
      manifests: [
        ...[...manifestNames, 'receiver'].map(toPath),
        ...['api', 'worker', 'migrate'].map((name) => path.join(proxied, `${name}.yaml`)),
      ],
      builds: buildFiles,
      dashboards: [toPath('dashboard')],
      alerts: alerts.map((name) => path.join(rendered, name)),
    };
    const { rejected, beta, unchecked } = await checkWithGcloud(gcloud!, input);
    assert.deepEqual(rejected, []);
    t.diagnostic(`${beta} commands of worker pools were parsed as beta`);
    for (const command of unchecked)
      t.diagnostic(`not checked, because this gcloud does not have it: ${command}`);
    for (const command of unchecked) assert.match(command, /^gcloud agent-registry /);
  });

  // A dry run does not show the flags that all commands get, nor the commands that only read.
  test('accepts what the scripts run', { timeout: 300_000 }, async (t) => {
    const project = createFakeProject(t);
    const files = { RENDERED_DIR: createTempDir(t) };
    await project.run('deploy.sh', [], files);
    await project.run('deploy.sh', [], { ...files, ...otherMode, API_MAX: '12' });
    await project.run('remove.sh', ['--yes']);
    const cloudRun = createCloudRun(t);
    for (const step of ['prepare', 'canary', 'drain', 'promote', 'back', 'prepare', 'promote', 'contract'])
      assert.equal((await cloudRun.run(step)).code, 0, step);
    const commands = [project.dir, cloudRun.dir].flatMap(readCalls);
    assert.ok(commands.length > 250, `${commands.length} commands`);
    const input = { manifests: [], builds: [], dashboards: [], alerts: [] };
    const { rejected } = await checkWithGcloud(gcloud!, { ...input, commands });
    assert.deepEqual(rejected, []);
  });

  test('rejects invalid commands, flags, values and fields', async (t) => {
    const dir = createTempDir(t);
    const write = (name: string, content: string): string => {
      const file = path.join(dir, name);
      writeFileSync(file, content);
      return file;
    };
    const alert = write('alert.yaml', 'conditions: [{ conditionPrometheusQueryLanguage: { qwery: up } }]\n');
    const input = {
      commands: [
        ['gcloud', 'run', 'jobs', 'execute', 'x', '--region=r', '--waits'],
        [
          'gcloud',
          'alloydb',
          'instances',
          'create',
          'x',
          '--cluster=c',
          '--region=r',
          '--instance-type=WRONG',
        ],
        ['gcloud', 'run', 'jobs', 'executed', 'x'],
      ],
      manifests: [
        write('wrong.yaml', 'kind: Service\nspec: { template: { spec: { containerConcurency: 1 } } }\n'),
      ],
      builds: [write('build.yaml', 'steps: [{ name: x, argz: [] }]\n')],
      dashboards: [alert],
      alerts: [alert],
    };
    const { rejected } = await checkWithGcloud(gcloud!, input);
    assert.equal(rejected.length, 7, JSON.stringify(rejected));
  });
});

/** The commands that a fake gcloud in this directory was called with. */
function readCalls(dir: string): string[][] {
  const calls = readFileSync(path.join(dir, 'calls'), 'utf8').split('\x1e').slice(0, -1);
  const commands = [...new Set(calls)].map((call) => ['gcloud', ...call.split('\x1f').slice(0, -1)]);
  // Help is printed instead of parsed; files are gone.
  return commands.filter((words) => !words.includes('--help')).map((words) => words.map(withoutFlagsFile));
}

/** The file does not exist after a dry run. */
function withoutFlagsFile(word: string): string {
  return word.startsWith('--flags-file=') ? '--password=secret' : word;
}

/** The commands that the scripts run only if the resources exist, which a dry run does not print. */
function createUpdateCommands(rendered: string): string[][] {
  return [
    'gcloud pubsub subscriptions update x --ack-deadline=600',
    'gcloud pubsub subscriptions update x --ack-deadline=600 --dead-letter-topic=d --max-delivery-attempts=100',
    'gcloud alloydb instances update x --cluster=c --region=r --project=p --no-async --cpu-count=8 --availability-type=REGIONAL --database-flags=a=b,c=d',
    'gcloud beta monitoring channels describe x --format=value(labels.email_address)',
    'gcloud alpha monitoring policies list --filter=f --flatten=notificationChannels[] --format=value(notificationChannels) --limit=1',
    'gcloud run services delete x --region=r --project=p',
    'gcloud run services update x --region=r --ingress=all',
    'gcloud run services update x --region=r --invoker-iam-check',
    'gcloud run services update x --region=r --no-invoker-iam-check',
    'gcloud run services remove-iam-policy-binding x --region=r --role=roles/run.invoker --member=allUsers --format=none',
    'gcloud services vpc-peerings update --network=n --service=s --ranges=a,b --force',
    'gcloud services vpc-peerings list --network=n --service=s',
    'gcloud compute addresses describe a --global --format=value[separator=|](address,prefixLength)',
    'gcloud run services list --region=r --filter=metadata.name=x --format=json',
    'gcloud run services get-iam-policy x --region=r --flatten=bindings[].members --filter=f --format=value(bindings.members)',
    'gcloud auth print-identity-token --audiences=https://x --include-email --impersonate-service-account=a@b',
    'gcloud auth print-access-token --impersonate-service-account=a@b',
    'gcloud secrets versions access latest --secret=x',
    'gcloud iam service-accounts describe a@p.iam.gserviceaccount.com --format=value(uniqueId)',
    'gcloud run regions list --format=value(locationId)',
    'gcloud tasks locations list --format=value(locationId)',
    'gcloud scheduler locations list --format=value(locationId)',
    'gcloud artifacts locations list --format=value(name)',
    'gcloud tasks queues update x --location=r --max-dispatches-per-second=500 --max-concurrent-dispatches=2000',
    'gcloud pubsub subscriptions modify-push-config x --push-endpoint=',
    `gcloud monitoring dashboards update x --config-from-file=${rendered}/dashboard.yaml`,
    `gcloud alpha monitoring policies update x --policy-from-file=${rendered}/alerts-queue-age.yaml`,
    'gcloud alpha monitoring policies delete x',
    'gcloud monitoring dashboards delete x',
    'gcloud beta monitoring channels delete x',
  ].map((line) => line.split(' '));
}

/** The commands in the steps of the builds, with placeholders for shell expansions. */
function readBuildCommands(): string[][] {
  const lines = buildFiles.flatMap((file) => {
    const { steps } = parse(readFileSync(file, 'utf8')) as { steps: { args: string[] }[] };
    return steps.flatMap(({ args }) => args.flatMap((arg) => arg.replaceAll(/\\\n\s*/g, '').split('\n')));
  });
  const commands = lines.flatMap(
    (line) =>
      /gcloud [^|;>]*/.exec(
        line.replace(/ 2>\/dev\/null/, '').replace(/\$\$\(cat [^)]*\)|"?\$\$?\w+"?/g, 'x'),
      )?.[0] ?? [],
  );
  assert.ok(commands.length >= 8, `${commands.length} commands`);
  return commands.map((command) => command.replace(/['")]/g, '').trim().split(/\s+/));
}

/** Names of commands in running text, without their arguments. */
const mentions = new Set(['gcloud agent-registry', 'gcloud beta', 'gcloud run deploy --source']);

/** The commands in all pages: in blocks, and within the text. */
function readGuideCommands(): string[][] {
  const guide = globSync('{docs,deploy}/**/*.md', { cwd: projectDir })
    .map((name) => readFileSync(path.join(projectDir, name), 'utf8'))
    .join('\n');
  const blocks = [...guide.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) =>
    block!.replaceAll('\\\n', ' '),
  );
  const commands = blocks.flatMap((block) =>
    block
      .split('\n')
      .flatMap((line) => /gcloud (?:'[^']*'|[^|)'])*/.exec(line.replace(/ +#.*/, ''))?.[0] ?? []),
  );
  const inText = [...guide.matchAll(/`(gcloud [^`]+)`/g)].map(([, command]) => command!);
  commands.push(...inText.filter((command) => !mentions.has(command)));
  assert.ok(commands.length >= 80, `${commands.length} commands`);
  // Help is printed instead of parsed.
  const parsed = commands.filter((command) => !command.includes('--help'));
  return parsed.map((command) =>
    [...command.replace(/\$\w+/g, 'my-project').matchAll(/(?:'[^']*'|[^\s'])+/g)]
      .map(([word]) => word.replaceAll("'", ''))
      .map(withoutFlagsFile),
  );
}
