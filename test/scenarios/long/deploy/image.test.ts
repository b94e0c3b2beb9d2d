/**
 * The files of the images run the migrations and all three services from a clean directory, with production
 * dependencies only, as an unprivileged user that cannot change them. Each service stops on SIGTERM within
 * the grace period.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, chmodSync, constants, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { buildImage, readDockerfile, removeImage } from '../../../support/deploy/image.ts';
import { run } from '../../../support/deploy/scripts.ts';
import { runNode, getUserId, type RunningProcess } from '../../../support/processes/processes.ts';
import { freePort } from '../../../support/network/ports.ts';
import { isCompleted, startStack } from '../../../support/stack.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';

/** Cloud Run kills a container ten seconds after SIGTERM. */
const graceMs = 10_000;
const hasCurl = spawnSync('curl', ['--version']).status === 0;
const isRoot = process.getuid?.() === 0;
const api = readDockerfile('Dockerfile.api');
const worker = readDockerfile('Dockerfile.worker');

const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-image-'));
chmodSync(dir, 0o755); // readable by the users of the services
after(() => {
  for (const name of ['api', 'worker']) removeImage(path.join(dir, name));
  rmSync(dir, { recursive: true, force: true });
});

describe('images', () => {
  test('complete a task and deliver its webhook, then stop in time', { timeout: 120_000 }, async (t) => {
    await buildImage(api, path.join(dir, 'api'));
    await buildImage(worker, path.join(dir, 'worker'));
    for (const image of ['api', 'worker']) {
      const compiled = readdirSync(path.join(dir, image, '.compile-cache'), { recursive: true });
      assert.ok(compiled.length > 1_000, `${image} has only ${compiled.length} compiled modules`);
    }
    const { privateKey } = generateKeyPairSync('ed25519');
    const signingKeys = { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k' }] };
    const stack = await startStack(t, { WEBHOOK_SIGNING_KEYS: JSON.stringify(signingKeys) });
    const receiver = await startReceiver(t);

    function runImage(
      image: 'api' | 'worker',
      command: readonly string[],
      port: string,
      more: Record<string, string> = {},
    ): RunningProcess {
      const [file = '', ...args] = command;
      const cwd = path.join(dir, image);
      const spec = image === 'api' ? api : worker;
      return runNode(t, [path.join(cwd, file), ...args], {
        cwd,
        env: { ...stack.env, ...spec.env, ...more, PORT: port, HOME: '/nonexistent' },
        ...(isRoot && { uid: spec.user, gid: spec.user }),
      });
    }
    async function waitUntilReady(running: RunningProcess): Promise<RunningProcess> {
      await running.line(/"message":"ready"/);
      return running;
    }

    const migrated = runImage('worker', ['services/migrate/main.ts'], '0');
    assert.equal((await migrated.exited).code, 0, migrated.output());

    const admin = runImage('worker', ['services/admin/main.ts', 'usage', '--json'], '0');
    assert.equal((await admin.exited).code, 0, admin.output());
    assert.ok(admin.output().split('\n').includes('[]'), admin.output());

    const services = await Promise.all([
      waitUntilReady(runImage('api', api.command, new URL(stack.apiUrl).port, { CONSOLE: 'true' })),
      waitUntilReady(runImage('worker', worker.command, '0')),
      waitUntilReady(
        runImage('worker', ['services/dispatcher/main.ts'], new URL(stack.env['DISPATCHER_URL']!).port),
      ),
    ]);
    if (isRoot) for (const { child } of services) assert.equal(getUserId(child.pid!), api.user);
    else assert.throws(() => accessSync(path.join(dir, 'api/services'), constants.W_OK));

    const task = await stack.submit('Summarise this: The sea is rough. The sea is wide.', {
      configuration: { taskPushNotificationConfig: { id: 'one', url: receiver.url } },
    });
    await stack.until(task.id, isCompleted);
    await waitFor('the webhook of the completed task', () =>
      receiver.received.some(({ body }) => body.includes('TASK_STATE_COMPLETED')),
    );

    const page = await fetch(`${stack.apiUrl}/console/tasks/deep`);
    const [script = ''] = /\/console\/assets\/main-[\w-]+\.js/.exec(await page.text()) ?? [];
    const { status, headers } = await fetch(stack.apiUrl + script);
    assert.deepEqual([status, headers.get('content-type')], [200, 'text/javascript; charset=utf-8']);

    // The receiver of the image, as deploy/steps/receiver.sh runs it, and the smoke test that asks it.
    const receiverPort = await freePort();
    const address = `http://127.0.0.1:${receiverPort}/`;
    const jwks = `${stack.apiUrl}/.well-known/webhook-jwks.json`;
    const own = [
      'services/cli/main.ts',
      'webhooks',
      'receive',
      '--json',
      '--jwks',
      jwks,
      '--address',
      address,
    ];
    const receiving = runImage('worker', own, String(receiverPort));
    await receiving.line(/receiving webhooks/);
    const smoke = hasCurl ? await run('bash', ['deploy/smoke.sh', stack.apiUrl, address], {}) : undefined;
    if (smoke !== undefined) {
      assert.equal(smoke.code, 0, smoke.errors + receiving.output());
      assert.match(smoke.output, /webhooks arrived with valid signatures/);
      assert.match(receiving.output(), /"verified":true.*TASK_STATE_COMPLETED/);
    }
    receiving.child.kill('SIGTERM');
    assert.deepEqual(await receiving.exited, { code: 0, signal: null }, receiving.output());

    // An open connection without a request, as pools and load balancers keep them, must not delay the stop.
    for (const url of [stack.apiUrl, stack.env['DISPATCHER_URL']!]) {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      await once(socket, 'connect');
      socket.on('error', () => undefined);
      t.after(() => socket.destroy());
    }
    const start = performance.now();
    for (const { child } of services) child.kill('SIGTERM');
    for (const { exited, output } of services) {
      assert.deepEqual(await exited, { code: 0, signal: null }, output());
    }
    assert.ok(performance.now() - start < graceMs, 'the services stopped after the grace period');
  });
});
