/** The commands of rollout.sh. test/scenarios/long/deploy/rollout runs its steps, and lets each of them fail. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCloudRun } from '../../support/deploy/cloud-run.ts';
import { runScript } from '../../support/deploy/scripts.ts';

const targets = ['longhaul-worker', 'longhaul-dispatcher', 'longhaul-api'];

test('a dry run prints the commands of each step, and runs none', async (t) => {
  const fake = createCloudRun(t);
  const print = async (step: string, env: Record<string, string> = {}): Promise<string[]> => {
    const all = { ...fake.environment, WORKER_INSTANCES: '2', ...env };
    const { output, errors } = await runScript('rollout.sh', ['--dry-run', step, '2.0'], all);
    assert.equal(errors, '');
    return output.split('\n').filter((line) => line.startsWith('gcloud '));
  };
  const canaryCommands = await print('canary');
  assert.deepEqual(
    canaryCommands.map(
      (line) => targets.find((name) => line.includes(name)) ?? /args=(\S+?),/.exec(line)?.[1],
    ),
    [...targets, 'services/admin/main.ts\\'],
  );
  assert.match(canaryCommands[0]!, /--to-revisions=NEXT=50\\,BEFORE=50$/);
  assert.match((await print('contract')).join('\n'), /jobs update .*\n.*contract\\,--keep=2\.0/);
  const push = await print('prepare', { WORKER_MODE: 'push', GRPC_MAX: '2' });
  assert.deepEqual(
    push.map((line) => /gcloud run services update (\S+)/.exec(line)?.[1]),
    ['longhaul-worker', 'longhaul-dispatcher', 'longhaul-grpc', 'longhaul-api'],
  );
  assert.deepEqual(fake.takeChanges(), []);
});
