/**
 * `npm run load -- neighbours`: one scenario for each hostile owner, and one with all of them. Options:
 *
 *   --rows 1,6+7,all     only these scenarios; `6+7`: these rows together. `ordinary` is an owner that does nothing wrong, for
 *                        comparison
 *   --seconds 30         duration of a hostile phase; some rows, and all together, take twice as long
 *   --burn 0.5           first a scenario whose hostile process sends nothing, and uses so much of one core
 *   --rate 10            starts of each operation of the measured owner, per second
 *   --env NAME=VALUE     environment of the services, for example a limit; repeatable
 *   --json FILE          writes the results
 */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { attacks, getAttack, ordinaryRow } from './attacks.ts';
import { formatCounts, formatRow, tableHead } from './report.ts';
import { runScenario, type ScenarioResult } from './scenario.ts';
import { boundsText, findExceeded } from './verdict.ts';

/** The services compile their code during the warm-up. */
const durations = { warmUpSeconds: 6, aloneSeconds: 30 };
const allRows = attacks.map((_, index) => index + 1);

/** Exits with code 1 if a bound is exceeded, and with 2 for wrong options. */
export async function runNeighbours(args: readonly string[]): Promise<void> {
  const options = readOptions(args);
  const results: ScenarioResult[] = [];
  const scenarios = options.scenarios.map((rows) => ({ rows, burn: 0 }));
  if (options.burn > 0) scenarios.unshift({ rows: [], burn: options.burn });
  for (const { rows, burn } of scenarios) {
    const factors = rows.map((row) => getAttack(row).durationFactor ?? 1);
    const hostileSeconds = options.seconds * Math.max(1, ...factors);
    const result = await runScenario({ ...options, ...durations, rows, burn, hostileSeconds });
    results.push(result);
    console.log(`${formatRow(result)}\n${formatCounts(result)}`);
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`);
  }
  const cpu = os.cpus()[0]?.model ?? 'unknown CPU';
  console.log(`\n${boundsText}\n`);
  console.log(
    `${os.availableParallelism()} cores of ${cpu}, Node ${process.version}. In milliseconds, p50 / p99.\n`,
  );
  console.log([tableHead, ...results.map(formatRow)].join('\n'));
  if (results.some((result) => findExceeded(result).length > 0)) process.exitCode = 1;
}

function readOptions(args: readonly string[]) {
  try {
    if (process.platform !== 'linux') throw new Error('neighbours needs Linux: it reads /proc');
    const { values } = parseArgs({
      args: [...args],
      options: {
        rows: { type: 'string', default: [...allRows, 'all'].join() },
        seconds: { type: 'string', default: '30' },
        rate: { type: 'string', default: '10' },
        burn: { type: 'string', default: '0' },
        env: { type: 'string', multiple: true, default: [] },
        json: { type: 'string' },
      },
    });
    const [seconds, rate, burn] = [values.seconds, values.rate, values.burn].map(Number) as [
      number,
      number,
      number,
    ];
    if (!(seconds > 0 && rate > 0)) throw new Error('--seconds and --rate must be numbers above 0');
    if (!(burn >= 0 && burn < 1)) throw new Error('--burn must be a number from 0 to below 1');
    return {
      scenarios: values.rows
        .split(',')
        .map((rows) => (rows === 'all' ? allRows : rows.split('+').map(readRow))),
      seconds,
      rate,
      burn,
      env: Object.fromEntries(values.env.map(readVariable)),
      json: values.json,
    };
  } catch (error) {
    console.error((error as Error).message);
    return process.exit(2);
  }
}

function readRow(text: string): number {
  if (text === 'ordinary') return ordinaryRow;
  const row = Number(text);
  if (!allRows.includes(row))
    throw new Error(`--rows has ${text} (expected 1 to ${allRows.length}, all, or ordinary)`);
  return row;
}

function readVariable(text: string): [string, string] {
  const [, name, value] = /^(\w+)=(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new Error(`--env has ${text} (expected NAME=VALUE)`);
  return [name, value];
}
