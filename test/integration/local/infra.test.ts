/** The commands that `npm start -- --infra` prints, run as printed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { startCloudTasksEmulator } from '#services/local/cloud-tasks-emulator/server.ts';
import { formatFailure, getExitCode } from '#services/local/failure.ts';
import { runToCompletion } from '#services/local/processes/node-child.ts';
import { startPubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import { createTestDatabase } from '../../support/database/postgres.ts';
import { runNode } from '../../support/processes/processes.ts';
import { createTempDir, writeTempFile } from '../../support/temp-dir.ts';

/** Runs a shell command until it prints that it is ready. */
async function runUntilReady(t: TestContext, command: string): Promise<string> {
  // Its own group: npm runs the service as a child of a child.
  const child = spawn('bash', ['-c', command], {
    env: { PATH: process.env['PATH'], HOME: createTempDir(t) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  t.after(async () => {
    process.kill(-child.pid!, 'SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const lines: string[] = [];
  child.stderr.on('data', (chunk) => lines.push(String(chunk)));
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('"message":"ready"')) return 'ready';
    lines.push(line);
  }
  return lines.join('\n');
}

test('the commands that --infra prints start the services', async (t) => {
  const [database, pubsub, tasks] = await Promise.all([
    createTestDatabase(),
    startPubSubEmulator({ port: 0 }),
    startCloudTasksEmulator({ port: 0 }),
  ]);
  t.after(async () => {
    await Promise.all([pubsub.close(), tasks.close()]);
    await database.close();
  });
  const stack = runNode(t, ['services/local/main.ts', '--infra'], {
    env: {
      PORT: '0',
      DATA_DIR: createTempDir(t),
      DATABASE_URL: database.url,
      PUBSUB_EMULATOR_HOST: pubsub.host,
      CLOUD_TASKS_EMULATOR_HOST: `127.0.0.1:${tasks.port}`,
      GOOGLE_GEMINI_BASE_URL: 'http://127.0.0.1:1',
    },
  });
  await stack.line(/npm run dispatcher/);
  const lines = stack.output().split('\n');
  const exports = lines.filter((line) => line.startsWith('export '));
  const commands = lines.flatMap((line) => /^# +(\S.* npm run \w+)$/.exec(line)?.[1] ?? []);
  assert.equal(commands.length, 3);
  const started = await Promise.all(
    commands.map((command) => runUntilReady(t, [...exports, command].join('\n'))),
  );
  assert.deepEqual(started, ['ready', 'ready', 'ready']);
});

test('a definition that is not valid is reported as such, not as a failed migration', async (t) => {
  const database = await createTestDatabase();
  t.after(() => database.close());
  const agentFile = writeTempFile(t, 'agent.yaml', 'name: A\nlabel: B\n');
  const file = new URL('../../../services/migrate/main.ts', import.meta.url);
  const env = { PATH: process.env['PATH'], DATABASE_URL: database.url, AGENT_FILE: agentFile };
  const run = runToCompletion({ name: 'migrate', file, env }, () => undefined, AbortSignal.timeout(60_000));
  const error: unknown = await run.catch((reason: unknown) => reason);
  assert.match(
    formatFailure(error, false),
    /^Longhaul did not start: \S*agent\.yaml:1:1: [^]*agent\.yaml:2:1: label/,
  );
  assert.equal(getExitCode(error), 78);
});
