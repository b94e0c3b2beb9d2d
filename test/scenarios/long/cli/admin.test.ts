/** The commands of `npm run admin` next to `npm start`, in an empty folder and without any variable. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { projectDir } from '../../../support/deploy/project.ts';
import { runNode } from '../../../support/processes/processes.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

const main = (service: string): string => path.join(projectDir, `services/${service}/main.ts`);

test('every command finds the database of npm start by itself', { timeout: 150_000 }, async (t) => {
  const cwd = createTempDir(t);
  const stack = runNode(t, [main('local'), '--infra'], { cwd, env: { PORT: '0' } });
  await stack.line(/npm run dispatcher/);
  const run = async (args: readonly string[]) => {
    const { exited, output } = runNode(t, [main('admin'), ...args], { cwd });
    return { status: (await exited).code, output: output() };
  };
  const calls: Record<string, [args: string[], output: RegExp, status?: number]> = {
    webhooks: [[], /pending deliveries +0/],
    usage: [[], /owner +day +model/],
    versions: [[], /No worker runs an agent that declares a version/],
    outcomes: [[], /No task of a worker with WORKER_RELEASE has ended/],
    drain: [['--keep', '1.0'], /no worker of 1\.0 runs/, 1],
    contract: [[], /nothing to drop: the schema has only what this version needs/],
    reencrypt: [[], /re-encrypted 0 webhooks/],
    'drop-secrets': [['--yes'], /removed the secrets of 0 webhooks/],
    limits: [['set', 'key:alice', 'openTasks=5'], /\+ key:alice openTasks 5/],
    export: [['--owner', 'key:alice'], /openTasks/],
    forget: [['--owner', 'key:bob', '--yes'], /no tasks or schedules of key:bob/],
    undeleted: [[], /0 calls could not be deleted/],
  };
  const { stdout: help } = spawnSync(process.execPath, [main('admin')], { encoding: 'utf8' });
  const commands = [...help.matchAll(/^ {2}([\w-]+) /gm)].map(([, name]) => name);
  assert.deepEqual(Object.keys(calls), commands);
  for (const [name, [args, expected, status = 0]] of Object.entries(calls)) {
    const { status: found, output } = await run([name, ...args]);
    assert.equal(found, status, `${name}: ${output}`);
    assert.match(output, expected, name);
  }
});
