/** `npm run chaos -- [--minutes 2] [--seed N] [--rate 4]`: exits with 1 where anything is found that must not be. */
import { parseArgs } from 'node:util';
import { reportOf } from './report.ts';
import { runChaos } from './run.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    rate: { type: 'string', default: '4' },
    errors: { type: 'boolean', default: false },
  },
});
const [minutes, seed, tasksPerSecond] = [values.minutes, values.seed, values.rate].map(Number);
if (!(minutes! > 0 && minutes! <= 600) || !Number.isSafeInteger(seed) || !(tasksPerSecond! > 0)) {
  console.error('usage: npm run chaos -- [--minutes 2] [--seed N] [--rate TASKS_A_SECOND] [--errors]');
  process.exit(2);
}
const began = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`);
say(`seed ${seed}, ${minutes} minutes`);
const result = await runChaos({
  seed: seed!,
  seconds: minutes! * 60,
  tasksPerSecond: tasksPerSecond!,
  quietSeconds: 120,
  faultEveryMs: 1_000,
  modelFails: true,
  say,
});
console.log(`\n${reportOf(result)}`);
if (values.errors) {
  for (const fault of result.faults) console.log(JSON.stringify(fault));
  for (const line of result.errors) console.log(line);
}
process.exit(result.passed ? 0 : 1);
