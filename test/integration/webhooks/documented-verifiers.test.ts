/** Runs the verifiers and receivers of docs/use/webhooks.md and docs/use/python.md exactly as documented; only the port differs. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createLocalJWKSet } from 'jose';
import { createSigningSecret } from '#shared/webhooks/secrets.ts';
import { publicJwks } from '#shared/crypto/signing-keys.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { freePort } from '../../support/network/ports.ts';
import { runNode } from '../../support/processes/processes.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { createSigningKey } from '../../support/webhooks/signing.ts';
import { startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;
const root = path.join(import.meta.dirname, '../../..');
const pages = ['docs/use/webhooks.md'];
const noPython = spawnSync('python3', ['--version']).status !== 0 && 'python3 is not installed';
const { db } = await connectToTestDatabase();

function getCode(page: string, name: string): string {
  const text = readFileSync(path.join(root, page), 'utf8');
  const code = new RegExp(`\`\`\`\\w+\\n(?://|#) ${name}\\n(.*?)\`\`\``, 's').exec(text)?.[1];
  assert.ok(code !== undefined, `${page} has no ${name}`);
  return code;
}

/** Starts a receiver in a process of its own. Its file lies in the package, so that `longhaul/webhooks` resolves. */
async function startDocumentedReceiver(t: TestContext, name: string, secret: string) {
  const port = await freePort();
  mkdirSync(path.join(root, '.longhaul'), { recursive: true });
  const dir = mkdtempSync(path.join(root, '.longhaul/docs-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = path.join(dir, name);
  writeFileSync(file, getCode('docs/use/webhooks.md', name).replace('9000', String(port)));
  const running = runNode(t, [file], { env: { WEBHOOK_SECRET: secret } });
  const url = `http://127.0.0.1:${port}/hook`;
  await waitUntilListening(url);
  return { url, running };
}

/** A receiver refuses what is not signed. */
async function waitUntilListening(url: string): Promise<void> {
  await waitFor('the receiver to listen', async () =>
    fetch(url, { method: 'POST' }).then(
      ({ status }) => status === 400,
      () => false,
    ),
  );
}

/** Loads a snippet from a file below the project, so that its imports resolve. */
async function loadVerifier(
  t: TestContext,
  page: string,
  name: string,
): Promise<(...args: unknown[]) => unknown> {
  const code = getCode(page, name);
  const lines = code.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('/**'));
  assert.ok(lines.length <= 10, `${name} has ${lines.length} lines`);
  const dir = mkdtempSync(path.join(root, 'node_modules/.docs-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = path.join(dir, `${name.replace(/\.js$/, '')}.mjs`);
  writeFileSync(file, code);
  const { verify } = (await import(pathToFileURL(file).href)) as { verify: (...args: unknown[]) => unknown };
  return verify;
}

describe('documented verifiers', () => {
  for (const page of pages) {
    test(`verifies by the secret with the code in ${page}`, { timeout }, async (t) => {
      const verify = await loadVerifier(t, page, 'verify-secret.js');
      const receiver = await startReceiver(t);
      const { outbox } = await startDispatchers(t, db, 1);
      const signingSecret = createSigningSecret();
      await startTask(db, outbox, webhookTo(receiver.url, { signingSecret }));
      await receiver.count(1);
      const [{ headers, body }] = receiver.received as [(typeof receiver.received)[0]];
      assert.deepEqual(verify(signingSecret, headers, body), JSON.parse(body));
      assert.throws(() => verify(signingSecret, headers, body.replace('SUBMITTED', 'COMPLETED')));
      assert.throws(() => verify(createSigningSecret(), headers, body));
    });

    test(`verifies by the public key with the code in ${page}`, { timeout }, async (t) => {
      const verify = await loadVerifier(t, page, 'verify-token.js');
      const receiver = await startReceiver(t);
      const key = createSigningKey('one');
      const agent = 'https://agent.example.com';
      const { outbox } = await startDispatchers(t, db, 1, { signing: { keys: [key], issuer: agent } });
      await startTask(db, outbox, webhookTo(receiver.url));
      await receiver.count(1);
      const [{ headers, body }] = receiver.received as [(typeof receiver.received)[0]];
      const keys = createLocalJWKSet(publicJwks([key]));
      assert.deepEqual(await verify(keys, agent, receiver.url, headers, body), JSON.parse(body));
      const tampered = body.replace('SUBMITTED', 'COMPLETED');
      await assert.rejects(async () => verify(keys, agent, receiver.url, headers, tampered), /not the one/);
      await assert.rejects(async () => verify(keys, agent, 'https://other/', headers, body), /"aud"/);
      await assert.rejects(async () => verify(keys, 'https://other', receiver.url, headers, body), /"iss"/);
      const foreign = createLocalJWKSet(publicJwks([createSigningKey('one')]));
      await assert.rejects(async () => verify(foreign, agent, receiver.url, headers, body), /signature/);
    });
  }

  test('receives events with receiver.py', { timeout, skip: noPython }, async (t) => {
    const port = await freePort();
    const code = getCode('docs/use/python.md', 'receiver.py').replace('9000', String(port));
    const file = writeTempFile(t, 'receiver.py', code);
    const signingSecret = createSigningSecret();
    const env = { PATH: process.env['PATH'], WEBHOOK_SECRET: signingSecret };
    const receiver = spawn('python3', [file], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    t.after(() => receiver.kill());
    const url = `http://127.0.0.1:${port}/hook`;
    await waitUntilListening(url);
    const { outbox } = await startDispatchers(t, db, 1);
    const { taskId } = await startTask(db, outbox, webhookTo(url, { signingSecret }));
    const [line] = (await once(createInterface({ input: receiver.stdout }), 'line')) as [string];
    assert.equal(line, `${getMessageId({ taskId, configId: 'hook', seq: 1 })} statusUpdate ${taskId}`);
  });

  for (const name of ['receiver-express.js', 'receiver-fastify.js']) {
    test(`receives events with ${name}`, { timeout }, async (t) => {
      const signingSecret = createSigningSecret();
      const { url, running } = await startDocumentedReceiver(t, name, signingSecret);
      const { outbox } = await startDispatchers(t, db, 1);
      const { taskId } = await startTask(db, outbox, webhookTo(url, { signingSecret }));
      const [line] = await running.line(new RegExp(`^msg_.* status ${taskId}$`));
      const id = getMessageId({ taskId, configId: 'hook', seq: 1 });
      assert.equal(line, `${id} status ${taskId}`);
    });
  }
});
