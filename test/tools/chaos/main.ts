/**
 * `npm run chaos -- [--minutes 2] [--seed N] [--seeds 1] [--rate 4] [--errors]`: one run for each seed, starting with the
 * given one; `npm run chaos -- trouble`: partners of the system fail (trouble/command.ts);
 * `npm run chaos -- repeats`: steps that run again are counted (repeats/command.ts); `npm run chaos -- gemini`: calls of the
 * model at Google (gemini/command.ts); `npm run chaos -- waits`: turns that wait, and schedules (waits/command.ts). Exits with 1
 * if a check finds a violation.
 */
import { parseArgs } from 'node:util';
import { formatGaps, formatReport } from './report.ts';
import { runChaos, type ChaosResult } from './run.ts';
import { runGeminiCommand } from './gemini/command.ts';
import { runRepeatsCommand } from './repeats/command.ts';
import { runTroubleCommand } from './trouble/command.ts';
import { runWaitsCommand } from './waits/command.ts';

if (process.argv[2] === 'gemini') process.exit(await runGeminiCommand(process.argv.slice(3)));
if (process.argv[2] === 'repeats') process.exit(await runRepeatsCommand(process.argv.slice(3)));
if (process.argv[2] === 'trouble') process.exit(await runTroubleCommand(process.argv.slice(3)));
if (process.argv[2] === 'waits') process.exit(await runWaitsCommand(process.argv.slice(3)));

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    seeds: { type: 'string', default: '1' },
    rate: { type: 'string', default: '4' },
    errors: { type: 'boolean', default: false },
  },
});
const numbers = [values.minutes, values.seed, values.seeds, values.rate].map(Number);
const [minutes = 0, first = 0, seeds = 0, tasksPerSecond = 0] = numbers;
const whole = Number.isSafeInteger(first) && Number.isSafeInteger(seeds) && seeds > 0;
if (!whole || !(minutes > 0 && minutes <= 600) || !(tasksPerSecond > 0)) {
  console.error(
    'usage: npm run chaos -- [--minutes 2] [--seed N] [--seeds 1] [--rate TASKS_A_SECOND] [--errors]',
  );
  process.exit(2);
}
const startedAt = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);

const results: ChaosResult[] = [];
for (let seed = first; seed < first + seeds; seed++) {
  say(`seed ${seed}, ${minutes} minutes`);
  const result = await runChaos({
    seed,
    seconds: minutes * 60,
    tasksPerSecond,
    quietSeconds: 120,
    faultEveryMs: 1_000,
    modelFails: true,
    say,
  });
  results.push(result);
  say(result.passed ? 'passed' : 'FAILED');
  if (values.errors) {
    for (const entry of [...result.faults, ...result.recoveries]) console.log(JSON.stringify(entry));
    for (const line of result.errors) console.log(line);
  }
}
console.log(`\n${formatReport(results)}`);
for (const [name, gaps] of formatGaps(results.flatMap(({ recoveries }) => recoveries))) {
  console.log(`Over all seeds, ${name}: ${gaps}`);
}
process.exit(results.every((result) => result.passed) ? 0 : 1);
