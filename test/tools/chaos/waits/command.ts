/**
 * `npm run chaos -- waits [--tasks 6] [--children 100] [--seconds 30] [--seed N]`: tasks that sleep, wait for a callback,
 * call other agents and join children, and schedules, while processes are killed one after the other.
 *
 * `npm run chaos -- waits --schedules 1000 [--every 20] [--times 9] [--outage 40] [--dispatchers 3] [--seed N]`: many
 * schedules, while dispatchers are killed and the database is away for a time (in seconds).
 *
 * Exits with 1 if an effect is missing, or happened twice where that can be prevented.
 */
import { parseArgs } from 'node:util';
import { runManySchedules } from './many-schedules.ts';
import { runWaits } from './run.ts';

const usage = `usage: npm run chaos -- waits [--tasks 6] [--children 100] [--seconds 30] [--seed N]
       npm run chaos -- waits --schedules 1000 [--every 20] [--times 9] [--outage 40] [--dispatchers 3] [--seed N]`;

export async function runWaitsCommand(args: string[]): Promise<number> {
  const run = parse(args);
  if (run === undefined) {
    console.error(usage);
    return 2;
  }
  const { problems, lines } = await run();
  const shown = problems.slice(0, 50).map((problem) => `VIOLATION ${problem}`);
  for (const line of [...lines, ...shown]) console.log(line);
  console.log(problems.length === 0 ? 'PASSED' : `FAILED: ${problems.length} violations`);
  return problems.length === 0 ? 0 : 1;
}

type Run = () => Promise<{ problems: string[]; lines: string[] }>;

/** Returns undefined if an argument is not valid. */
function parse(args: string[]): Run | undefined {
  const { values } = parseArgs({
    args,
    options: {
      tasks: { type: 'string', default: '6' },
      children: { type: 'string', default: '100' },
      seconds: { type: 'string', default: '30' },
      schedules: { type: 'string' },
      every: { type: 'string', default: '20' },
      times: { type: 'string', default: '9' },
      outage: { type: 'string', default: '40' },
      dispatchers: { type: 'string', default: '3' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  });
  const read = (name: Exclude<keyof typeof values, 'schedules'>, min: number): number => {
    const number = Number(values[name]);
    return number >= min && (Number.isSafeInteger(number) || name === 'seconds') ? number : Number.NaN;
  };
  const seed = read('seed', 0);
  if (values.schedules !== undefined) {
    const options = {
      schedules: Number(values.schedules),
      everySeconds: read('every', 10),
      times: read('times', 1),
      outageSeconds: read('outage', 0),
      dispatchers: read('dispatchers', 1),
      seed,
    };
    const isValid = Object.values(options).every(Number.isSafeInteger) && options.schedules > 0;
    if (!isValid || options.outageSeconds > options.times * options.everySeconds) return undefined;
    console.log(JSON.stringify(options));
    return () => runManySchedules(options);
  }
  const options = {
    tasks: read('tasks', 1),
    children: read('children', 1),
    seconds: read('seconds', 10),
    seed,
  };
  if (Object.values(options).some(Number.isNaN)) return undefined;
  console.log(JSON.stringify(options));
  return () => runWaits(options);
}
