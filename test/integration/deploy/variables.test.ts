/** The variables of the services: SERVICE_ENV and those of single services, from the setting to the manifests and to releases. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { createCloudRun } from '../../support/deploy/cloud-run.ts';
import { manifestNames, renderManifests } from '../../support/deploy/project.ts';
import { runScript } from '../../support/deploy/scripts.ts';
import { createTempDir } from '../../support/temp-dir.ts';

/** Returns the variables of each manifest. */
async function readVariables(t: TestContext, settings: Record<string, string>) {
  const manifests = await renderManifests(t, settings);
  const entries = manifests.map(({ name, content }) => {
    const pod = name === 'migrate' ? content.spec.template.spec.template.spec : content.spec.template.spec;
    const env = pod.containers[0].env as { name: string; value?: string }[];
    return [name, new Map(env.map((each) => [each.name, each.value]))] as const;
  });
  return Object.fromEntries(entries) as Record<(typeof manifestNames)[number], Map<string, string>>;
}

/** The manifests that have a variable, each with its value. */
const find = (all: Record<string, Map<string, string>>, name: string) =>
  Object.fromEntries(
    Object.entries(all).flatMap(([manifest, variables]) =>
      variables.has(name) ? [[manifest, variables.get(name)]] : [],
    ),
  );

describe('SERVICE_ENV', () => {
  test('goes to every service that reads it, unless one has a value of its own', async (t) => {
    const all = await readVariables(t, {
      SERVICE_ENV:
        'RETENTION_DAYS=30\n\n# for callers\nCORS_ORIGINS=https://a.example,https://b.example\nOWNER_MAX_OPEN_TASKS=5',
      DISPATCHER_ENV: 'RETENTION_DAYS=40',
    });
    const workers = { worker: '30', 'worker-push': '30' };
    assert.deepEqual(find(all, 'RETENTION_DAYS'), { api: '30', grpc: '30', dispatcher: '40', ...workers });
    const origins = 'https://a.example,https://b.example';
    assert.deepEqual(find(all, 'CORS_ORIGINS'), { api: origins, grpc: origins });
    assert.deepEqual(Object.keys(find(all, 'OWNER_MAX_OPEN_TASKS')), [...manifestNames]);
  });

  test('comes from a file, and its secrets are readable for the services that get them', async (t) => {
    const file = path.join(createTempDir(t), 'service.env');
    const address = 'sm://projects/my-project/secrets/card-key/versions/latest';
    writeFileSync(file, `CARD_SIGNING_KEY=${address}\r\nCONSOLE=true\r\n`);
    const env = { SERVICE_ENV: `@${file}` };
    const { output, errors } = await runScript('deploy.sh', ['--dry-run', 'secrets', 'services'], env);
    assert.equal(errors, '');
    assert.match(output, /^# api: CONSOLE=true\n/m);
    const granted = output.match(/^gcloud secrets add-iam-policy-binding card-key .*$/gm)!;
    assert.equal(granted.length, 1);
    assert.match(granted[0], /--member=serviceAccount:longhaul-api@/);
  });
});

describe('values', () => {
  test('keep commas, quotes, spaces, dollars, backslashes and lines', async (t) => {
    const values: Record<string, string> = {
      COMMAS: 'a,b, c',
      QUOTES: `it's "quoted"`,
      DOLLARS: '$PREFIX ${PREFIX} $(id) `id`',
      BACKSLASHES: 'a\\b\\n',
      YAML: '{ a: [b] } # c',
      SINGLE: 'one "two"\nthree \\n',
      DOUBLE: 'one\n"two" \\ three\ttab',
      EMPTY: '',
      UNICODE: 'ü – ✓',
    };
    const quoted = { SINGLE: `'${values['SINGLE']}'`, DOUBLE: '"one\\n\\"two\\" \\\\ three\ttab"' };
    const lines = Object.entries({ ...values, ...quoted }).map(([name, value]) => `${name}=${value}`);
    const { worker } = await readVariables(t, { AGENT_ENV: lines.join('\n') });
    for (const [name, value] of Object.entries(values)) assert.equal(worker.get(name), value, name);
  });

  test('are those of configuration.md, which every variable of the deployment is in', async () => {
    const right = [
      'INTERRUPTED_EXPIRY_DAYS=0.001',
      'OWNER_MAX_STORED_BYTES=9007199254740991',
      'LOG_LEVEL=warn',
      'MCP=false',
      'OTEL_EXPORTER_OTLP_HEADERS=a=b',
      'JWT_ISSUERS=[{"issuer": "https://a.example", "audience": "a"}]',
    ];
    const env = { SERVICE_ENV: right.join('\n'), API_AUTH_MODES: 'jwt' };
    const accepted = await runScript('deploy.sh', ['--dry-run', 'tasks'], env);
    assert.equal(accepted.code, 0, accepted.errors);
    for (const [line, problem] of [
      ['INTERRUPTED_EXPIRY_DAYS=0.0001', 'must be a number from 0.001 to 3650, not 0.0001'],
      ['OWNER_MAX_STORED_BYTES=9007199254740992', 'must be a number from 0 to 9007199254740991'],
      ['LOG_LEVEL=warning', 'must be one of debug, info, warn, error, silent, not warning'],
      ['DATABASE_URL=postgres://x', 'which the deployment sets: use the setting DATABASE_HOST'],
      ['ENCRYPTION_KEYS_FILE=/x', 'must not have ENCRYPTION_KEYS_FILE, which the deployment sets'],
      ['CARD_SIGNING_KEY={"d":"hidden"}', 'is secret: give its address in Secret Manager'],
      ['"hidden', 'must be NAME=value, one a line'],
    ] as const) {
      const { code, errors } = await runScript('deploy.sh', ['--dry-run', 'tasks'], { SERVICE_ENV: line });
      assert.equal(code, 1);
      assert.ok(errors.includes(problem), errors);
    }
  });
});

describe('variables of deployed services', () => {
  const env = { SERVICE_ENV: 'RETENTION_DAYS=30\nCORS_ORIGINS=https://a.example,https://b.example' };

  test('go to the new revisions of a release', async (t) => {
    const fake = createCloudRun(t);
    const { code, errors } = await fake.run('prepare', env);
    assert.equal(code, 0, errors);
    const [worker, dispatcher, api] = fake
      .takeChanges()
      .map((line) => /--update-env-vars=\S+/.exec(line)?.[0]);
    assert.equal(worker, '--update-env-vars=WORKER_RELEASE=2.0,RETENTION_DAYS=30');
    assert.equal(dispatcher, '--update-env-vars=RETENTION_DAYS=30');
    const origins = 'CORS_ORIGINS=https://a.example,https://b.example';
    assert.equal(api, `--update-env-vars=^|^${origins}|RETENTION_DAYS=30`);
  });

  test('are not changed by a release without them', async (t) => {
    const fake = createCloudRun(t);
    await fake.run('prepare');
    const [, ...others] = fake.takeChanges();
    for (const line of others) assert.doesNotMatch(line, /env-vars/);
  });
});

test('the guide names the settings for variables that the deployment sets', () => {
  const read = (name: string) => readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8');
  const settings = new Set(
    [...read('deploy/lib/checks.txt').matchAll(/^([A-Z_]+) /gm)].map(([, name]) => name!),
  );
  const texts = manifestNames.map((name) => read(`deploy/manifests/${name}.yaml`));
  const used = texts.flatMap((text) =>
    [...text.matchAll(/^ +- \{ name: [A-Z_]+, value: "\$\{([A-Z_]+)\}"/gm)].map(([, name]) => name!),
  );
  const [guide = ''] = /^- Refused before[\s\S]*?alone\.$/m.exec(read('docs/operate/deploy.md')) ?? [];
  const named = [...guide.matchAll(/`([A-Z_…]+)`/g)].map(
    ([, name]) => new RegExp(`^${name!.replace('…', '.*')}$`),
  );
  for (const setting of new Set(
    used.filter((name) => settings.has(name) && !/^(PROJECT_ID|REGION)$/.test(name)),
  ))
    assert.ok(
      named.some((pattern) => pattern.test(setting)),
      `${setting} is not in the guide`,
    );
});
