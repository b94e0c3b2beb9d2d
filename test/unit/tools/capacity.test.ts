/** `npm run capacity`: its estimate, the problems that it reports, and its flags. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { estimateCapacity, type CapacityLoad } from '../../../deploy/capacity/estimate.ts';
import { rates } from '../../../deploy/capacity/limits.ts';
import { addCosts, costs, predictRate, type Cost } from '../../../deploy/capacity/measured.ts';
import { countCells, findLimits, primaryLoads } from '../../../deploy/capacity/primary.ts';
import { priceList } from '../../../deploy/capacity/prices.ts';
import { burst, scalers, simulate } from '../../../deploy/capacity/scaling.ts';
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
    assert.deepEqual([tasksPerSecond, concurrentTurns, worker, connections], [2, 200, 3, 11 + 30 + 11 + 2]);
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
    const ran = await runScript('deploy.sh', ['--dry-run'], { ...settings, DATABASE_MAX_CONNECTIONS: '20' });
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

  test('uses the formula for connections that docs/operate/scaling.md documents', async () => {
    const [guide, settings] = await Promise.all(
      ['docs/operate/scaling.md', 'deploy/settings.sh'].map((name) => readFile(name, 'utf8')),
    );
    const sum = /\$\(\((.*)\)\)/.exec(settings ?? '')?.[1];
    assert.ok(sum !== undefined && guide?.replaceAll('×', '*').includes(sum), sum);
  });
});

describe('npm run capacity -- cost', () => {
  test('prints the cost of three loads with the dates of the prices', async () => {
    const { output, code } = await capacity('cost');
    assert.equal(code, 0);
    const rows = [...output.matchAll(/^ {2}(together|without the model) +(\S+) +(\S+) +(\S+)$/gm)];
    assert.equal(rows.length, 2);
    const [together = [], without = []] = rows.map((cells) =>
      cells.slice(2).map((cell) => Number(cell.replaceAll(',', ''))),
    );
    for (const [index, all] of together.entries()) assert.ok(all > without[index]! && without[index]! > 300);
    assert.match(output, /Prices of \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d: deploy\/capacity\/prices\.json/);
  });

  test('has a date, a source and a check for every price', async () => {
    const { output } = await capacity('cost');
    const [, names = ''] = /^Not fully confirmed by a page of Google: (.*)$/m.exec(output) ?? [];
    for (const [name, { value, date, source, checked }] of Object.entries(priceList)) {
      const isDate = (text: string): boolean => /^\d{4}-\d\d-\d\d$/.test(text);
      assert.ok(value > 0 && isDate(date) && isDate(checked.date) && source.startsWith('https://'), name);
      assert.equal(
        checked.page?.startsWith('https://cloud.google.com/') ?? false,
        checked.confirmed !== 'no',
        name,
      );
      assert.equal(names.split(', ').includes(name), checked.confirmed !== 'yes', name);
    }
  });
});

describe('npm run capacity -- scaling', () => {
  const outcomes = scalers.map((scaler) => simulate(scaler, burst));
  const [cpu, crema, cremaToZero, push] = outcomes;

  test('shows that CPU autoscaling adds no worker for turns that wait for the model', () => {
    assert.equal(cpu?.peakInstances, 1);
    assert.ok(cpu.oldestWait >= burst.turnSeconds * 9, `${cpu.oldestWait} s`);
  });

  test('ranks push workers before CREMA, and both before the CPU', () => {
    assert.ok(push!.oldestWait < crema!.oldestWait && crema!.oldestWait < cremaToZero!.oldestWait);
    assert.ok(cremaToZero!.oldestWait < cpu!.oldestWait);
    assert.deepEqual([push?.idleInstances, cremaToZero?.idleInstances, crema?.idleInstances], [0, 0, 1]);
  });

  test('matches the table of docs/operate/scaling.md', async () => {
    const { output } = await capacity('scaling');
    const guide = await readFile('docs/operate/scaling.md', 'utf8');
    assert.ok(guide.includes(output.trim()), `docs/operate/scaling.md must have:\n${output}`);
  });

  test('keeps every turn, and no more instances than allowed', () => {
    for (const { peakInstances, backlog } of outcomes) {
      assert.ok(peakInstances <= burst.maxInstances && backlog <= burst.turns);
    }
  });
});

describe('the model of measured costs', () => {
  /** Cores of the machine of docs/bench, and by which factor a prediction may differ from a figure. */
  const cores = 2;
  const allowed = 1.3;

  async function readPublished(): Promise<(name: string, figure: string) => number> {
    const { cases } = JSON.parse(await readFile('docs/bench/results.json', 'utf8')) as {
      cases: Record<string, { figures: { name: string; value: number }[] }>;
    };
    return (name, figure) => {
      const found = cases[name]?.figures.find((each) => each.name === figure);
      assert.ok(found, `${name}: ${figure}`);
      return found.value;
    };
  }

  test('predicts the published throughput of the machine of the bench', async () => {
    const published = await readPublished();
    const fiveSteps = addCosts({ cost: costs.task, count: 1 }, { cost: costs.step, count: 5 });
    const predictions: [name: string, figure: string, cost: Cost][] = [
      ['accept', 'Longhaul', costs.accept],
      ['whole', 'Longhaul', costs.task],
      ['conversations', 'tasks of a context each', costs.task],
      ['steps', 'Longhaul, tasks of 5 steps', fiveSteps],
      ['getTask', 'Longhaul', costs.read],
    ];
    for (const [name, figure, cost] of predictions) {
      const factor = predictRate(cost, cores) / published(name, figure);
      assert.ok(factor < allowed && factor > 1 / allowed, `${name}, ${figure}: ${factor.toFixed(2)}`);
    }
  });

  test('plans instances for less than the bench has measured', async () => {
    const published = await readPublished();
    assert.ok(rates.apiRequestsPerSecond < published('accept', 'Longhaul, 64 connections'));
    assert.ok(rates.turnsPerSecond < published('whole', 'Longhaul'));
    assert.ok(
      rates.webhooksPerSecond <
        published('webhooks', 'webhooks to one receiver, 1,500 tasks with three each'),
    );
  });

  test('finds every limit for each load, and more databases for more tasks', () => {
    for (const base of Object.values(primaryLoads)) {
      for (const { name, tasksPerSecond } of findLimits(base)) assert.ok(tasksPerSecond > 0, name);
      const cells = [1, 10, 1_000].map((factor) => countCells({ ...base, tasksPerDay: factor * 10_000_000 }));
      assert.ok(cells[0]! >= 1 && cells[1]! >= cells[0]! && cells[2]! > cells[1]!, cells.join());
    }
  });

  test('matches the table of docs/operate/scaling.md', async () => {
    const { output } = await capacity('primary');
    const guide = await readFile('docs/operate/scaling.md', 'utf8');
    assert.ok(guide.includes(output.trim()), `docs/operate/scaling.md must have:\n${output}`);
  });
});
