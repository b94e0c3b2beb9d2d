/** `npm run capacity`: what it reckons, what it says of loads that will not work, and of flags that are wrong. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { estimateCapacity, type CapacityLoad } from '../../deploy/capacity/estimate.ts';
import { run, runScript } from '../support/deploy/scripts.ts';

const load: CapacityLoad = {
  tasksPerDay: 86_400,
  peak: 2,
  turnsPerTask: 1,
  turnSeconds: 100,
  modelCallsPerTurn: 3,
  inputTokensPerTurn: 1_000,
  outputTokensPerTurn: 1_000,
  requestsPerMinute: 0,
  tokensPerMinute: 0,
  readsPerTask: 0,
  openStreams: 0,
  webhooksPerTask: 1,
  receiverSeconds: 1,
  workerConcurrency: 100,
  poolSize: 10,
  databaseConnections: 1_000,
  retentionDays: 1,
  kilobytesPerTask: 1_024,
  inputPrice: 1,
  outputPrice: 2,
};

test('turns at once are turns a second times their seconds, and workers have room for them', () => {
  const { tasksPerSecond, turnsAtOnce, worker, connections, storedGibibytes, costs, problems } =
    estimateCapacity(load);
  assert.deepEqual([tasksPerSecond, turnsAtOnce, worker, connections], [2, 200, 3, 11 + 30 + 10 + 2]);
  assert.equal(storedGibibytes, 84.375);
  assert.deepEqual(costs[0], ['models: tokens', 86_400 * 30 * 0.003]);
  assert.deepEqual(problems, []);
});

test('a quota that is too small holds up turns, and no workers are planned for those that wait', () => {
  const atPeak = estimateCapacity({ ...load, requestsPerMinute: 270 });
  assert.equal(atPeak.turnsAtOnce, 150);
  assert.match(atPeak.problems.join(), /less than comes at the peak/);
  const always = estimateCapacity({ ...load, tokensPerMinute: 60_000 });
  assert.equal(always.turnsAtOnce, 50);
  assert.match(always.problems.join(), /takes 43200 turns a day, and 86400 come: the queue only grows/);
});

test('what Google Cloud does not give is told', () => {
  const { problems } = estimateCapacity({ ...load, tasksPerDay: 86_400_000 });
  for (const name of [/instances of worker/, /connections are more/, /webhooks a second are more/]) {
    assert.match(problems.join('\n'), name);
  }
});

test('more tasks never take less', () => {
  const tasks = fc.integer({ min: 0, max: 100_000_000 });
  fc.assert(
    fc.property(tasks, tasks, fc.integer({ min: 0, max: 10_000 }), (some, more, requestsPerMinute) => {
      const [a, b] = [Math.min(some, more), Math.max(some, more)].map((tasksPerDay) =>
        estimateCapacity({ ...load, tasksPerDay, requestsPerMinute }),
      );
      assert.ok(a !== undefined && b !== undefined);
      for (const name of ['api', 'worker', 'dispatcher', 'connections', 'databaseCpus'] as const) {
        assert.ok(a[name] <= b[name] && a[name] > 0, name);
      }
    }),
  );
});

test('the settings that it prints are taken by the deploy script, and add up to its connections', async () => {
  const { output, code } = await capacity('--tasks-per-day', '2000000');
  assert.equal(code, 0);
  const settings = Object.fromEntries(
    [...output.matchAll(/([A-Z_]+)=(\d+)/g)].map(([, name, value]) => [name, value]),
  );
  const connections = /connections +(\d+) of/.exec(output)?.[1];
  const ran = await runScript('deploy.sh', ['--dry-run'], { ...settings, DATABASE_MAX_CONNECTIONS: '1' });
  assert.match(ran.errors, new RegExp(`may open ${connections} connections`));
});

test('a flag that is wrong is told by name', async () => {
  for (const [flags, told] of [
    [['--tasks-per-day', 'many'], /--tasks-per-day must be a number from 0 on, not "many"/],
    [['--tasks-per-day=-1'], /--tasks-per-day must be/],
    [['--peak', '0.5'], /--peak must be a number from 1 on/],
    [['--taks', '1'], /--taks/],
  ] as const) {
    const { code, errors } = await capacity(...flags);
    assert.deepEqual([code, told.test(errors)], [64, true], errors);
  }
});

test('the guide has the formula of the connections as the deploy script has it', async () => {
  const [guide, settings] = await Promise.all(
    ['docs/scaling.md', 'deploy/settings.sh'].map((name) => readFile(name, 'utf8')),
  );
  const sum = /\$\(\((.*)\)\)/.exec(settings ?? '')?.[1];
  assert.ok(sum !== undefined && guide?.replaceAll('×', '*').includes(sum), sum);
});

const capacity = (...flags: string[]) => run(process.execPath, ['deploy/capacity/main.ts', ...flags], {});
