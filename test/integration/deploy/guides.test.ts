/** The dashboard, alerts and IAM bindings agree with the guides in docs/. */
import assert from 'node:assert/strict';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { gauges, instruments } from '#shared/runtime/instruments.ts';
import { projectDir } from '../../support/deploy/project.ts';
import { run } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';
import {
  insertAccessTables,
  projectWide,
  readGrants,
  renderAccessTables,
} from '../../tools/access/matrix.ts';

const readText = (name: string): string => readFileSync(path.join(projectDir, name), 'utf8');
const alertNames = readdirSync(path.join(projectDir, 'deploy/monitoring/alerts')).map((name) =>
  path.basename(name, '.yaml'),
);

describe('dashboard and alerts', () => {
  test('query only metrics and attributes that exist', () => {
    const guide = readText('docs/operate/observability.md');
    const histograms = new Set(
      [...guide.matchAll(/^\| `([\w.]+)` \| \S+ \| histogram/gm)].map(([, name]) => name),
    );
    const known = new Set([...Object.values(instruments), ...Object.values(gauges)].map(({ name }) => name));
    const files = ['dashboard', ...alertNames.map((name) => `alerts/${name}`)];
    const queried = files.flatMap((name) =>
      [...readText(`deploy/monitoring/${name}.yaml`).matchAll(/"((?:longhaul|gen_ai)\.[\w.]+)"/g)].map(
        ([, word]) => word!,
      ),
    );
    assert.ok(queried.length > 40, `${queried.length} names`);
    for (const name of queried) {
      const metric = name.replace(/_(bucket|count|sum)$/, '');
      const isMetric = known.has(metric) && (metric !== name) === histograms.has(metric);
      const isAttribute = guide.includes(`\`${name}\``) && !known.has(metric);
      assert.ok(isMetric || isAttribute, `${name} is neither a metric nor an attribute`);
    }
  });

  test('watch the api over gRPC too', () => {
    const query = readText('deploy/monitoring/alerts/api-failing.yaml');
    assert.equal(query.match(/service_name=~"\$\{PREFIX\}-\(api\|grpc\)"/g)?.length, 2);
  });

  test('have one section of the runbook for each alert', () => {
    const runbook = readText('docs/operate/runbook.md');
    for (const name of alertNames) assert.match(runbook, new RegExp(`^## ${name}$`, 'm'));
    assert.equal(runbook.match(/^## /gm)?.length, alertNames.length, 'a section has no alert');
  });
});

describe('the guide', () => {
  test('asks for every program that the scripts run', () => {
    const files = readdirSync(path.join(projectDir, 'deploy'), { recursive: true, encoding: 'utf8' });
    const scripts = files.filter((name) => name.endsWith('.sh')).map((name) => readText(`deploy/${name}`));
    const [asked = ''] = /^You need bash 5.*$/m.exec(readText('docs/operate/deploy.md')) ?? [];
    const called = ['curl', 'git', 'jq', 'node', 'openssl', 'python3', 'unzip', 'wget'].filter((program) =>
      scripts.some((script) => new RegExp(`(^|[|(]|\\$\\() *${program} `, 'm').test(script)),
    );
    assert.ok(called.length >= 3, called.join());
    for (const program of called) assert.ok(asked.includes(`\`${program}\``), program);
  });

  test('gives the scaler of the pool the roles for its configuration and for the metrics', () => {
    const [roles = ''] =
      /CREMA's service account needs[^.]*\./.exec(
        readText('docs/operate/scaling.md')
          .replaceAll('\n', ' ')
          .replaceAll(/(\w)\.(\w)/g, '$1:$2'),
      ) ?? [];
    for (const role of [
      'monitoring:viewer',
      'parametermanager:parameterViewer',
      'run:developer',
      'iam:serviceAccountUser',
    ])
      assert.ok(roles.includes(`roles/${role}`), role);
  });
});

describe('commands of the guide', () => {
  const blocks = [...readText('docs/operate/deploy.md').matchAll(/```sh\n([\s\S]*?)```/g)];
  const scripts = blocks.map(([, block = '']) => keepDryCommands(block)).filter((script) => script !== '');

  test('are accepted by a dry run, with the files and exported variables of their block', async (t) => {
    assert.ok(scripts.length > 10, `${scripts.length} blocks`);
    for (const script of scripts) {
      const env = { PATH: process.env['PATH'], PROJECT_ID: 'my-project' };
      const { code, errors } = await run('bash', ['-euc', script], { cwd: createTempDir(t), env });
      assert.equal(code, 0, `${script}\n${errors}`);
    }
  });
});

/** Keeps the files, exported variables and deploy scripts of a block, without what gcloud would print, and lets the scripts run dry. */
function keepDryCommands(block: string): string {
  const kept = block.match(
    /^(?:cat >[\s\S]*?\nEND|export (?!.*\$\().*|(?:[A-Z_]+=\S+ )*deploy\/(?:deploy|release|rollout|remove)\.sh.*)$/gm,
  );
  const script = (kept ?? []).join('\n');
  const dry = script.replaceAll(
    /^((?:[A-Z_]+=\S+ )*)deploy\/(\w+\.sh)/gm,
    (_all, before: string, name: string) => `${before}bash ${projectDir}deploy/${name} --dry-run`,
  );
  return dry === script ? '' : dry;
}

describe('the runbook', () => {
  test('names steps of deploy/deploy.sh that exist', () => {
    const calls = [...readText('docs/operate/runbook.md').matchAll(/`deploy\/deploy\.sh ([\w ]+)`/g)];
    const steps = calls.flatMap(([, names = '']) => names.split(' '));
    assert.ok(steps.length > 3);
    const existing = readdirSync(path.join(projectDir, 'deploy/steps')).map((name) =>
      path.basename(name, '.sh'),
    );
    for (const step of steps) assert.ok(existing.includes(step), step);
  });
});

describe('queries of logs', () => {
  // Google's list of monitored resources has them, and `gcloud run … logs read` filters by them.
  const labels = ['service_name', 'worker_pool_name', 'job_name'];
  const pages = globSync('{docs,deploy}/**/*.{md,sh,yaml}', { cwd: projectDir }).map(readText);
  const queries = pages.flatMap((page) =>
    [...page.matchAll(/gcloud logging read '([^']+)'/g)].map(([, query = '']) => query),
  );

  test('find services, the worker pool and jobs', () => {
    const ofAll = queries.filter((query) => query.includes('severity>='));
    assert.equal(ofAll.length, 2);
    for (const query of ofAll)
      for (const label of labels) assert.ok(query.includes(`resource.labels.${label}=~"^longhaul-"`), query);
  });

  test('name labels that the resources of Cloud Run have', () => {
    for (const [, label = ''] of queries.join('\n').matchAll(/resource\.labels\.(\w+)/g))
      assert.ok(labels.includes(label), label);
    assert.ok(queries.length >= 4, `${queries.length} queries`);
  });

  test('of alerts and the dashboard name a resource with the label that they filter by', () => {
    const names: Record<string, string> = {
      cloud_run_revision: 'service_name',
      pubsub_subscription: 'subscription_id',
    };
    const files = globSync('deploy/monitoring/**/*.yaml', { cwd: projectDir });
    const filters = files.flatMap((file) => [
      ...readText(file).matchAll(/monitored_resource="(\w+)", (\w+)=~?"/g),
    ]);
    assert.ok(filters.length >= 4, `${filters.length} filters`);
    for (const [filter, resource = '', label] of filters) assert.equal(label, names[resource], filter);
  });
});

describe('IAM bindings', () => {
  test('grant no basic role, and only documented roles on the project', async () => {
    for (const { role, resource, account } of await readGrants()) {
      if (resource === 'the project') {
        assert.ok(role in projectWide, `${account} has ${role} on the project`);
      }
      assert.doesNotMatch(role, /roles\/(owner|editor|viewer)$/);
    }
  });

  test('match the tables of docs/operate/deploy.md', async () => {
    const guide = readText('docs/operate/deploy.md');
    assert.equal(
      insertAccessTables(guide, await renderAccessTables()),
      guide,
      'run "npm run access" and check the difference',
    );
  });
});
