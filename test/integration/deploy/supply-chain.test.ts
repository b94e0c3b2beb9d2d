/** The scans, and the contents of the images. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, cpSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { parse } from 'yaml';
import { agentDir, projectDir } from '../../support/deploy/project.ts';
import { dryRun, run, runScript } from '../../support/deploy/scripts.ts';
import { createTempDir, writeTempFile } from '../../support/temp-dir.ts';
import { findSecrets, type SecretsOptions } from '../../tools/audit/secrets.ts';

interface Build {
  steps: { id?: string; name: string; args: string[] }[];
  images?: string[];
  options: { requestedVerifyOption?: string };
  substitutions?: Record<string, string>;
}

function readBuild(name: string): Build {
  return parse(readFileSync(path.join(projectDir, name), 'utf8')) as Build;
}

/** Writes a program into a directory for the PATH. */
function fakeProgram(t: TestContext, name: string, script: string): string {
  const dir = createTempDir(t);
  writeFileSync(path.join(dir, name), `#!/bin/bash\n${script}\n`);
  chmodSync(path.join(dir, name), 0o755);
  return `${dir}:${process.env['PATH']}`;
}

describe('scan of images', () => {
  const builds = ['images', 'agent-image', 'source-image'].map((name) => `deploy/builds/${name}.yaml`);

  /** Runs the script of the step as Cloud Build does, for one image with these findings. */
  async function scan(t: TestContext, findings: string, values: Record<string, string> = {}) {
    const { steps, substitutions } = readBuild(builds[0]!);
    let script = steps
      .find(({ id }) => id === 'scan')!
      .args[1]!.replaceAll('/tmp/found', `${createTempDir(t)}/found`);
    for (const [name, value] of Object.entries({ ...substitutions, ...values })) {
      script = script.replaceAll(`$${name}`, value);
    }
    const PATH = fakeProgram(
      t,
      'gcloud',
      `if [[ $* == *' scan '* ]]; then echo scans/1; else printf '${findings}'; fi`,
    );
    return await run('bash', ['-euc', script.replaceAll('$$', '$'), 'scan', 'api:1'], { env: { PATH } });
  }

  test('comes before the push, for the images of a release and of an agent', () => {
    const [script, ...others] = builds.map((name) => {
      const { steps, images, options } = readBuild(name);
      const { id, args } = steps.at(-1)!;
      assert.equal(id, 'scan');
      assert.deepEqual(
        args.slice(3),
        images!.filter((image) => image.endsWith(':$_TAG')),
      );
      assert.ok(steps.every((step) => !step.args.join(' ').includes('docker push')));
      assert.equal(options.requestedVerifyOption, 'VERIFIED');
      return args[1];
    });
    assert.deepEqual(others, [script, script]);
  });

  test('refuses findings that are high or critical, and names them', async (t) => {
    for (const severity of ['HIGH', 'CRITICAL']) {
      const { code, output } = await scan(t, `LOW\\tCVE-2026-1\\n${severity}\\tCVE-2026-2\\n`);
      assert.equal(code, 1);
      assert.match(
        output,
        new RegExp(`api:1 has vulnerabilities that are refused\\. .*\n${severity}\tCVE-2026-2\n$`),
      );
    }
  });

  test('passes lower severities, accepted findings and clean images', async (t) => {
    assert.equal((await scan(t, 'MEDIUM\\tCVE-2026-1\\nLOW\\tCVE-2026-2\\n')).code, 0);
    assert.equal((await scan(t, '')).code, 0);
    const accepted = { _ACCEPTED_VULNERABILITIES: 'CVE-2026-1|CVE-2026-3' };
    assert.equal((await scan(t, 'HIGH\\tCVE-2026-1\\n', accepted)).code, 0);
    assert.equal((await scan(t, 'HIGH\\tCVE-2026-12\\n', accepted)).code, 1);
  });

  test('reaches the first build from the settings', async () => {
    const settings = { REFUSED_SEVERITIES: 'CRITICAL', ACCEPTED_VULNERABILITIES: 'CVE-2026-1' };
    for (const env of [
      settings,
      { ...settings, AGENT_DIR: agentDir },
      { ...settings, IMAGES_FROM: 'source' },
    ]) {
      const builds = (await dryRun('deploy.sh', env)).filter(({ line }) => line.includes('builds submit'));
      assert.equal(builds.length, 1);
      const [{ words }] = builds as [(typeof builds)[number]];
      assert.ok(words.at(-1)!.endsWith('_REFUSED_SEVERITIES=CRITICAL,_ACCEPTED_VULNERABILITIES=CVE-2026-1'));
    }
  });
});

describe('images', () => {
  const pinned = /^FROM node:24\.\d+\.\d+-bookworm-slim@sha256:[0-9a-f]{64}( AS base)?$/m;
  const digest = `sha256:${'1'.padStart(64, '0')}`;
  const fakeCurl = readFileSync(path.join(projectDir, 'test/support/deploy/fake-curl.sh'), 'utf8');

  test('of all Dockerfiles, also of new agents, are one, by digest', () => {
    const files = ['Dockerfile.api', 'Dockerfile.worker', 'services/cli/init/files.ts'];
    const images = files.map(
      (name) => pinned.exec(readFileSync(path.join(projectDir, name), 'utf8'))?.[0].split(' ')[1],
    );
    assert.ok(images[0] !== undefined);
    assert.deepEqual(new Set(images).size, 1);
  });

  test('are pinned in all files by pin-images.sh', async (t) => {
    const dir = createTempDir(t);
    const files = [
      'Dockerfile.api',
      'Dockerfile.worker',
      'services/cli/init/files.ts',
      'cloudbuild.yaml',
      'deploy/builds',
      'deploy/pin-images.sh',
      'deploy/lib/digests.sh',
    ];
    mkdirSync(path.join(dir, 'deploy/lib'), { recursive: true });
    for (const name of files) cpSync(path.join(projectDir, name), path.join(dir, name), { recursive: true });
    const PATH = fakeProgram(t, 'curl', fakeCurl);
    const pin = async (env: Record<string, string> = {}) =>
      await run('bash', [path.join(dir, 'deploy/pin-images.sh')], { env: { PATH, ...env } });
    const before = readFileSync(path.join(dir, 'Dockerfile.api'), 'utf8');
    const refused = await pin({ UNKNOWN_IMAGE: 'library/node' });
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /the registry gave no digest of node:24/);
    assert.equal(readFileSync(path.join(dir, 'Dockerfile.api'), 'utf8'), before);

    for (const attempt of ['first', 'second']) {
      assert.equal((await pin()).code, 0, attempt);
      const texts = globSync(['Dockerfile.*', '**/*.yaml', 'services/cli/init/files.ts'], { cwd: dir }).map(
        (name) => readFileSync(path.join(dir, name), 'utf8'),
      );
      assert.equal(texts.length, 9);
      const images = texts.flatMap((text) => text.match(/^(FROM|[ -]+name:) \S+[.:]\S+/gm) ?? []);
      assert.ok(images.length > 12, `${images.length} images`);
      for (const image of images) assert.ok(image.split('@').length === 2 && image.endsWith(digest), image);
    }
  });

  test('of build steps are submitted by digest, or not at all', async (t) => {
    const submitted = path.join(createTempDir(t), 'submitted');
    const gcloud = `if [[ $* == *"services describe"* ]]; then echo '{"status":{}}'; fi; for word in "$@"; do if [[ $word == --config=* ]]; then cat "\${word#*=}" >>${submitted}; fi; done`;
    const [curl] = fakeProgram(t, 'curl', fakeCurl).split(':');
    const PATH = `${curl}:${fakeProgram(t, 'gcloud', gcloud)}`;
    const release = (env: Record<string, string> = {}) =>
      runScript('release.sh', ['1.2.3'], { PATH, ...env });
    const refused = await release({ UNKNOWN_IMAGE: 'google.com/cloudsdktool/google-cloud-cli' });
    assert.equal(refused.code, 1);
    assert.match(
      refused.errors,
      /cloudbuild\.yaml is not submitted, because an image of its steps has no digest/,
    );
    assert.match(refused.errors, /no digest of gcr\.io\/google\.com\/cloudsdktool\/google-cloud-cli:stable/);
    const builds = readFileSync(submitted, 'utf8');
    writeFileSync(submitted, '');
    const { code, output, errors } = await release();
    assert.equal(code, 0, errors);
    assert.match(output, new RegExp(`^# runs gcr\\.io/cloud-builders/docker@${digest}$`, 'm'));
    const all = readFileSync(submitted, 'utf8');
    assert.ok(all.startsWith(builds) && all.includes('google-cloud-cli:stable@sha256:'));
    const images = all.match(/^[ -]+name: (?:gcr\.io|node)\S+/gm) ?? [];
    assert.ok(images.length > 8, `${images.length} images`);
    for (const image of images) assert.ok(image.endsWith(`@${digest}`), image);
  });
});

describe('the Auth Proxy', () => {
  test('runs by the digest that its tag has when it is deployed', async (t) => {
    const fakeCurl = readFileSync(path.join(projectDir, 'test/support/deploy/fake-curl.sh'), 'utf8');
    const script = `source deploy/settings.sh; source deploy/lib/common.sh; auth_proxy; printf '%s' "$AUTH_PROXY"`;
    const start = async (more: Record<string, string> = {}) =>
      await run('bash', ['-euc', script], {
        cwd: projectDir,
        env: {
          PATH: fakeProgram(t, 'curl', fakeCurl),
          PROJECT_ID: 'my-project',
          HERE: 'deploy',
          DRY_RUN: 'false',
          DATABASE_CONNECTION: 'proxy',
          ...more,
        },
      });
    assert.match((await start()).output, /image: "\S+auth-proxy:[\d.]+@sha256:0+1"/);
    const refused = await start({ UNKNOWN_IMAGE: 'alloydb-connectors/alloydb-auth-proxy' });
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /the registry gave no digest of gcr\.io\/alloydb-connectors/);
  });
});

describe('dependencies', () => {
  /** npm reads the versions of a vulnerable package and of those that depend on it. */
  function describePackage(url: string): object {
    const name = decodeURIComponent(url.slice(1));
    return { name, versions: { '0.0.1': { name, version: '0.0.1' } } };
  }

  test('are listed in CycloneDX without those of development', async () => {
    const { code, output, errors } = await run('npm', ['run', '--silent', 'sbom'], { cwd: projectDir });
    assert.equal(code, 0, errors);
    const { bomFormat, components } = JSON.parse(output) as {
      bomFormat: string;
      components: { name: string; purl: string; hashes?: object[] }[];
    };
    assert.equal(bomFormat, 'CycloneDX');
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(path.join(projectDir, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string>>;
    assert.ok(components.length > 150, `${components.length} components`);
    const purls = new Set(components.map(({ purl }) => decodeURIComponent(purl)));
    for (const [name, version] of Object.entries(dependencies!)) {
      assert.ok(purls.has(`pkg:npm/${name}@${version}`), name);
    }
    assert.ok(!purls.has(`pkg:npm/typescript@${devDependencies!['typescript']}`));
    assert.ok(components.every(({ hashes }) => hashes !== undefined));
  });

  test('are audited, and a registry without an answer is not a pass', async (t) => {
    const advisory = {
      id: 1,
      url: 'https://example.com/1',
      title: 'Bad',
      vulnerable_versions: '<9999',
      cwe: [],
      cvss: {},
    };
    let answer: object | undefined = {};
    const registry = createServer((request, response) => {
      if (answer === undefined) response.writeHead(503);
      response.end(JSON.stringify(request.method === 'GET' ? describePackage(request.url!) : answer));
      request.resume();
    }).listen(0, '127.0.0.1');
    await once(registry, 'listening');
    t.after(() => registry.close());
    const { port } = registry.address() as AddressInfo;
    const audit = async () =>
      await run(process.execPath, [path.join(projectDir, 'test/tools/audit/main.ts'), 'dependencies'], {
        env: {
          PATH: process.env['PATH'],
          HOME: createTempDir(t),
          npm_config_registry: `http://127.0.0.1:${port}`,
          npm_config_fetch_retries: '0',
        },
      });
    assert.deepEqual(await audit(), {
      code: 0,
      output: '0 vulnerable packages, 0 of them high or critical\n',
      errors: '',
    });
    answer = { kysely: [{ ...advisory, severity: 'high' }] };
    const vulnerable = await audit();
    assert.equal(vulnerable.code, 1);
    assert.match(vulnerable.output, /^high: kysely \*: Bad https:\/\/example.com\/1$/m);
    answer = undefined;
    const unanswered = await audit();
    assert.equal(unanswered.code, 69);
    assert.match(unanswered.errors, /The registry gave no report/);
  });
});

describe('files of the repository', () => {
  /** Runs the search over one file, and returns its status and what it prints. */
  async function search(t: TestContext, content: string, options: SecretsOptions = {}) {
    const lines: unknown[] = [];
    for (const method of ['log', 'error'] as const) {
      t.mock.method(console, method, (line: unknown) => lines.push(line));
    }
    const dir = path.dirname(writeTempFile(t, 'settings.ts', content));
    const status = await findSecrets({ dir, allow: [], ...options });
    t.mock.restoreAll();
    return { status, output: lines.join('\n') };
  }
  // Written so that the search of the repository itself does not find it.
  const secret = [
    '-----BEGIN PRIVATE',
    `KEY-----\nMII${Buffer.alloc(240, 'key').toString('base64')}\n-----END PRIVATE`,
    'KEY-----',
  ].join(' ');

  test('are searched for secrets, which are refused by place', async (t) => {
    const { status, output } = await search(t, `\n${secret}`);
    assert.equal(status, 1);
    assert.equal(output, 'settings.ts:2: PrivateKey\n1 files searched, 1 texts that look like secrets');
    assert.equal((await search(t, 'export const key = readKey();')).status, 0);
  });

  test('may have listed ones, as long as they are there', async (t) => {
    const allow = [{ file: 'settings.ts', kind: 'PrivateKey', why: 'an example' }];
    assert.equal((await search(t, secret, { allow })).status, 0);
    const { status, output } = await search(t, 'nothing', { allow });
    assert.equal(status, 1);
    assert.match(output, /settings\.ts has no PrivateKey: remove it/);
  });

  test('that are not searched are not a pass', async (t) => {
    const { status, output } = await search(t, secret, {
      load: () => Promise.reject(new Error('not found')),
    });
    assert.equal(status, 69);
    assert.match(output, /were not searched for secrets, because secretlint is missing: run npm ci/);
  });
});
