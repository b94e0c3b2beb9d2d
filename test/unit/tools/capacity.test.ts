/** `npm run capacity`: its estimate, the problems that it reports, and its flags. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { estimateCapacity, type CapacityLoad } from '../../../deploy/capacity/estimate.ts';
import { run, runScript } from '../../support/deploy/scripts.ts';

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

const capacity = (...flags: string[]) => run(process.execPath, ['deploy/capacity/main.ts', ...flags], {});

describe('estimateCapacity', () => {
  test('sizes workers for the turns that run at once', () => {
    const { tasksPerSecond, concurrentTurns, worker, connections, storedGibibytes, costs, problems } =
      estimateCapacity(load);
    assert.deepEqual([tasksPerSecond, concurrentTurns, worker, connections], [2, 200, 3, 11 + 30 + 10 + 2]);
    assert.equal(storedGibibytes, 84.375);
    assert.deepEqual(costs[0], ['models: tokens', 86_400 * 30 * 0.003]);
    assert.deepEqual(problems, []);
  });

  test('plans no workers for turns that wait when the quota is below the peak', () => {
    const { concurrentTurns, problems } = estimateCapacity({ ...load, requestsPerMinute: 270 });
    assert.equal(concurrentTurns, 150);
    assert.match(problems.join(), /quota is below the peak load/);
  });

  test('reports a queue that only grows when the quota is below the daily load', () => {
    const { concurrentTurns, problems } = estimateCapacity({ ...load, tokensPerMinute: 60_000 });
    assert.equal(concurrentTurns, 50);
    assert.match(problems.join(), /allows 43200 turns per day, but 86400 are expected: the queue only grows/);
  });

  test('reports every limit of Google Cloud that the load exceeds', () => {
    const { problems } = estimateCapacity({ ...load, tasksPerDay: 86_400_000 });
    for (const problem of [
      /instances of worker exceed/,
      /connections exceed/,
      /webhooks per second exceed/,
    ]) {
      assert.match(problems.join('\n'), problem);
    }
  });

  test('never needs less for more tasks', () => {
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
});

describe('npm run capacity', () => {
  test('prints settings that add up to the same connections in deploy.sh', async () => {
    const { output, code } = await capacity('--tasks-per-day', '2000000');
    assert.equal(code, 0);
    const settings = Object.fromEntries(
      [...output.matchAll(/([A-Z_]+)=(\d+)/g)].map(([, name, value]) => [name, value]),
    );
    const connections = /connections +(\d+) of/.exec(output)?.[1];
    const ran = await runScript('deploy.sh', ['--dry-run'], { ...settings, DATABASE_MAX_CONNECTIONS: '1' });
    assert.match(ran.errors, new RegExp(`may open ${connections} connections`));
  });

  test('reports an invalid flag by name', async () => {
    for (const [flags, problem] of [
      [['--tasks-per-day', 'many'], /--tasks-per-day must be a number of at least 0, not "many"/],
      [['--tasks-per-day=-1'], /--tasks-per-day must be/],
      [['--peak', '0.5'], /--peak must be a number of at least 1/],
      [['--taks', '1'], /--taks/],
    ] as const) {
      const { code, errors } = await capacity(...flags);
      assert.deepEqual([code, problem.test(errors)], [64, true], errors);
    }
  });

  test('uses the formula for connections that docs/scaling.md documents', async () => {
    const [guide, settings] = await Promise.all(
      ['docs/scaling.md', 'deploy/settings.sh'].map((name) => readFile(name, 'utf8')),
    );
    const sum = /\$\(\((.*)\)\)/.exec(settings ?? '')?.[1];
    assert.ok(sum !== undefined && guide?.replaceAll('×', '*').includes(sum), sum);
  });
});
