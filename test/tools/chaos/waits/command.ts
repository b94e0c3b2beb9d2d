/**
 * `npm run chaos -- waits [--tasks 6] [--seconds 30] [--seed N]`: tasks that sleep, wait for a callback, call other agents
 * and join children, and schedules, while processes are killed one after the other. Exits with 1 if an effect is missing,
 * or happened twice where that can be prevented.
 */
import { parseArgs } from 'node:util';
import { runWaits } from './run.ts';

export async function runWaitsCommand(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      tasks: { type: 'string', default: '6' },
      seconds: { type: 'string', default: '30' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  });
  const [tasks = 0, seconds = 0, seed = -1] = [values.tasks, values.seconds, values.seed].map(Number);
  if (!Number.isSafeInteger(tasks) || tasks < 1 || !(seconds >= 10) || !Number.isSafeInteger(seed)) {
    console.error('usage: npm run chaos -- waits [--tasks 6] [--seconds 30] [--seed N]');
    return 2;
  }
  console.log(`seed ${seed}, ${tasks} tasks, kills for ${seconds} s`);
  const { problems, lines } = await runWaits({ tasks, seconds, seed });
  for (const line of [...lines, ...problems.map((problem) => `VIOLATION ${problem}`)]) console.log(line);
  console.log(problems.length === 0 ? 'PASSED' : 'FAILED');
  return problems.length === 0 ? 0 : 1;
}
