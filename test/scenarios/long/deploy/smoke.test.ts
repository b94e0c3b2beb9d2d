/** The smoke test of a release, with the real program, against an api in each of its modes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { createCloudRun } from '../../../support/deploy/cloud-run.ts';
import { projectDir } from '../../../support/deploy/project.ts';
import { run, runScript } from '../../../support/deploy/scripts.ts';
import { startIssuer, type Issuer } from '../../../support/fakes/issuer.ts';
import { listen } from '../../../support/network/listen.ts';
import { sha256 } from '../../../support/services/api-keys.ts';
import { startStack, type Stack } from '../../../support/stack.ts';

const skip = spawnSync('curl', ['--version']).status !== 0 && 'curl is not installed';
const cleanup = createSuiteCleanup();
const account = '100000000000000000001';
let stack: Stack;
let issuer: Issuer;
let tokenInfo: string;
before(async () => {
  if (skip !== false) return;
  [stack, issuer] = await Promise.all([startStack(cleanup), startIssuer(cleanup)]);
  await stack.start('worker');
  // Google says of an access token of a service account that its client and its subject are the id of that account.
  const google = createServer((request, response) => {
    void text(request).then((body) => {
      const token = new URLSearchParams(body).get('access_token');
      const isKnown = token?.startsWith('ya29.') === true;
      response.writeHead(isKnown ? 200 : 400, { 'content-type': 'application/json' });
      const exp = String(Math.floor(Date.now() / 1000) + 3_600);
      response.end(
        JSON.stringify(
          isKnown
            ? { aud: token === 'ya29.of-the-account' ? account : 'other', sub: account, exp }
            : { error: 'invalid_token' },
        ),
      );
    });
  });
  tokenInfo = `${await listen(cleanup, google)}/tokeninfo`;
});

/** An identity token as Cloud Run passes it on, without its signature. */
function createVerified(audience: string): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const [iat, iss] = [Math.floor(Date.now() / 1000), 'https://accounts.google.com'];
  const claims = { iss, aud: audience, sub: account, iat, exp: iat + 600 };
  return `${encode({ alg: 'RS256' })}.${encode(claims)}.SIGNATURE_REMOVED_BY_GOOGLE`;
}

interface Mode {
  modes: string;
  api: Record<string, string>;
  /** Tokens and secrets that gcloud prints. */
  fake: Record<string, string>;
  /** The message of the api to a caller without the credential. */
  refusal: RegExp;
  /** Credentials that the api refuses. */
  wrong: Record<string, string>[];
}

/** Status and content of each answer that refuses a call. */
const refusals: string[] = [];

async function call(headers: Record<string, string>, route = '/a2a/v1/tasks', body?: object): Promise<void> {
  const answer = await fetch(stack.apiUrl + route, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'a2a-version': '1.0', 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  refusals.push(`${answer.status} ${await answer.text()}`);
}

const toBearer = (token: string) => ({ authorization: `Bearer ${token}` });

const keyRefusal = /Credentials are missing: send an API key in the header x-api-key/;
const tokenRefusal = /Credentials are missing: send a token in the header Authorization: Bearer/;
const cases: [name: string, create: () => Promise<Mode> | Mode][] = [
  [
    'cloud-run-iam',
    () => ({
      modes: 'cloud-run-iam',
      api: { CLOUD_RUN_AUDIENCE: 'https://api' },
      fake: { FAKE_IDENTITY: createVerified('https://api') },
      refusal: tokenRefusal,
      wrong: [
        toBearer(createVerified('32555940559.apps.googleusercontent.com')),
        toBearer(
          createVerified('https://api').replace(/[^.]*$/, Buffer.from('signed').toString('base64url')),
        ),
      ],
    }),
  ],
  [
    'api-key',
    () => ({
      modes: 'api-key',
      api: {
        API_KEYS: `release:${sha256('a "key" of \\ releases')},reader:${sha256('reader')}:r scopes=read`,
      },
      fake: { SMOKE_SECRET: 'smoke', FAKE_SECRET: 'a "key" of \\ releases', FAKE_IDENTITY: 'for.cloud.run' },
      refusal: keyRefusal,
      wrong: [{ 'x-api-key': 'guess' }],
    }),
  ],
  [
    'jwt',
    async () => ({
      modes: 'jwt',
      api: { JWT_ISSUER: issuer.url, JWT_AUDIENCE: 'https://agent.example' },
      fake: {
        SMOKE_SECRET: 'smoke',
        FAKE_SECRET: await issuer.createToken({}),
        FAKE_IDENTITY: 'for.cloud.run',
      },
      refusal: tokenRefusal,
      wrong: [
        toBearer(await issuer.createToken({ iss: 'https://other.example' })),
        toBearer(await issuer.createToken({ aud: 'https://other.example' })),
      ],
    }),
  ],
  [
    'google-oauth',
    () => ({
      modes: 'google-oauth',
      api: { GOOGLE_OAUTH_AUDIENCE: `client,${account}`, GOOGLE_TOKENINFO_URL: tokenInfo },
      fake: { FAKE_ACCESS: 'ya29.of-the-account', FAKE_IDENTITY: 'for.cloud.run' },
      refusal: tokenRefusal,
      wrong: [toBearer('ya29.of-another-client')],
    }),
  ],
];

describe('the step smoke', { skip }, () => {
  for (const [name, create] of cases) {
    test(`passes with ${name}, and says what is missing without a credential`, async (t) => {
      const { modes, api, fake: given, refusal, wrong } = await create();
      const service = await stack.start('api', { AUTH_MODES: modes, ...api });
      t.after(() => service.kill('SIGTERM'));
      await stack.ready();
      const fake = createCloudRun(t);
      fake.set('2', ['1:100', '1:100', '1:100']);
      const env = { FAKE_MODES: modes, FAKE_URL: stack.apiUrl, ...given };
      const { code, output, errors } = await fake.run('smoke', env);
      assert.equal(code, 0, errors);
      assert.match(output, /smoke: task [0-9a-f-]{36} completed/);
      for (const [variable, value] of Object.entries(given))
        if (variable.startsWith('FAKE_')) assert.ok(!(output + errors).includes(value), variable);
      const asked = readFileSync(path.join(fake.dir, 'identity'), 'utf8');
      assert.match(asked, /--audiences=https:\/\/api .*--impersonate-service-account=longhaul-deploy@/);

      const refused = await run('bash', ['deploy/smoke.sh', stack.apiUrl], { cwd: projectDir });
      assert.equal(refused.code, 1);
      assert.match(refused.errors, /the api answered with status 401/);
      assert.match(refused.errors, refusal);
      for (const headers of [{}, ...wrong]) await call(headers);
      if (modes !== 'api-key') return;
      const [, task = ''] = /smoke: task (\S+) completed/.exec(output) ?? [];
      const reader = { 'x-api-key': 'reader' };
      await call(reader, `/a2a/v1/tasks/${task}`);
      await call(reader, '/a2a/jsonrpc', { jsonrpc: '2.0', id: 1, method: 'GetTask', params: { id: task } });
      assert.match(refusals.at(-1)!, /^200 .*-32001/);
      const message = { messageId: 'm', role: 'ROLE_USER', parts: [{ text: 'no' }] };
      await call(reader, '/a2a/v1/message:send', { message });
    });
  }

  test('answers with the refusals of the guide, after the modes above', () => {
    const guide = readFileSync(path.join(projectDir, 'docs/operate/deploy.md'), 'utf8');
    const [, table = ''] = /<!-- refusals:start -->([^]*)<!-- refusals:end -->/.exec(guide) ?? [];
    const rows = [...table.matchAll(/^\| (\d+), JSON[^|]* \| `([^`]+)` \|/gm)];
    assert.equal(rows.length, 10);
    for (const [, status = '', message = ''] of rows)
      assert.ok(
        refusals.some((refusal) => refusal.startsWith(status) && refusal.includes(message)),
        `${status} ${message} is not among ${refusals.join('\n')}`,
      );
  });

  test('waits for a role that is not in force yet, and names Cloud Run if it never is', async (t) => {
    const page =
      '<html><head>\n<title>403 Forbidden</title></head><body><h1>Error: Forbidden</h1></body></html>';
    let refusals = 1;
    const server = createServer((request, response) => {
      request.resume();
      if (refusals > 0) {
        refusals--;
        response.writeHead(403, { 'content-type': 'text/html' }).end(page);
      } else {
        const task = {
          id: '00000000-0000-4000-8000-000000000000',
          status: { state: 'TASK_STATE_COMPLETED' },
        };
        response.end(JSON.stringify({ result: { task, ...task } }));
      }
    });
    const url = await listen(t, server);
    const smoke = (env: Record<string, string> = {}) =>
      run('bash', ['deploy/smoke.sh', url], { cwd: projectDir, env: { PATH: process.env['PATH'], ...env } });
    const passed = await smoke();
    assert.equal(passed.code, 0, passed.errors);
    assert.match(passed.errors, /status 403. A new role or revision may take minutes: waiting/);
    refusals = 1_000;
    const { code, errors } = await smoke({ SMOKE_SECONDS: '1' });
    assert.equal(code, 1);
    assert.match(errors, /Cloud Run answered, and not the api, with status 403: .*Error: Forbidden/);
  });

  // The receiver refuses webhooks to another one of its addresses.
  test('sends the webhook to the address that the receiver was started with', async (t) => {
    const messages: string[] = [];
    const server = createServer((request, response) => {
      void text(request).then((body) => {
        messages.push(body);
        const task = {
          id: '00000000-0000-4000-8000-000000000000',
          status: { state: 'TASK_STATE_COMPLETED' },
        };
        const got = { verified: 1, settled: true };
        response.end(JSON.stringify(request.method === 'GET' ? got : { result: { task, ...task } }));
      });
    });
    const url = await listen(t, server);
    const fake = createCloudRun(t);
    fake.set('2', ['1:100', '1:100', '1:100']);
    const { output, errors } = await fake.run('smoke', { FAKE_URL: url, FAKE_RECEIVER: `${url}/` });
    assert.match(output, /smoke: 1 webhooks arrived with valid signatures/, errors);
    assert.ok(messages[0]!.includes(`"taskPushNotificationConfig":{"url":"${url}/"}`), messages[0]);
  });
});

describe('a release', () => {
  test('is refused when it is submitted if the smoke test has no credential', async (t) => {
    const fake = createCloudRun(t);
    for (const modes of ['api-key', 'jwt', 'jwt,api-key']) {
      const env = { ...fake.environment, FAKE_MODES: modes };
      for (const [script, args] of [
        ['release.sh', ['2.0']],
        ['rollout.sh', ['prepare', '2.0']],
      ] as const) {
        const { code, errors } = await runScript(script, args, env);
        assert.equal(code, 1);
        assert.match(
          errors,
          new RegExp(`by ${modes}, and the smoke test has no credential.*Set SMOKE_SECRET`),
        );
      }
    }
    const { output } = await runScript('release.sh', ['--dry-run', '2.0'], {
      API_AUTH_MODES: 'jwt',
      API_JWT_ISSUER: 'https://issuer.example',
      API_JWT_AUDIENCE: 'longhaul',
      SMOKE_SECRET: 's',
    });
    assert.match(output, /_SMOKE_SECRET=s/);
    assert.deepEqual(fake.takeChanges(), []);
  });

  test('is refused while anyone may call a service that relies on the check of Cloud Run', async (t) => {
    const fake = createCloudRun(t);
    const prepare = (modes: string) => fake.run('prepare', { FAKE_MODES: modes });
    writeFileSync(path.join(fake.dir, 'longhaul-api/public'), '');
    const unchecked = await prepare('cloud-run-iam');
    assert.match(
      unchecked.errors,
      /anyone may call longhaul-api.*\n {2}gcloud run services update longhaul-api .*--invoker-iam-check/,
    );
    writeFileSync(path.join(fake.dir, 'longhaul-dispatcher/invokers'), 'allUsers\n');
    const open = await prepare('google-oauth');
    assert.match(
      open.errors,
      /anyone may call longhaul-dispatcher.*\n {2}gcloud run services remove-iam-policy-binding/,
    );
    assert.deepEqual([unchecked.code, open.code, fake.takeChanges()], [1, 1, []]);
    writeFileSync(path.join(fake.dir, 'longhaul-dispatcher/invokers'), '');
    assert.equal((await prepare('google-oauth')).code, 0);
    fake.takeChanges();

    rmSync(path.join(fake.dir, 'longhaul-api/public'));
    writeFileSync(path.join(fake.dir, 'longhaul-api/invokers'), 'allAuthenticatedUsers\n');
    const accounts = await prepare('none');
    assert.match(accounts.errors, /anyone may call longhaul-api.*\n.*--member=allAuthenticatedUsers/);
    assert.deepEqual([accounts.code, fake.takeChanges()], [1, []]);
    assert.equal((await prepare('cloud-run-iam')).code, 0);
  });
});
