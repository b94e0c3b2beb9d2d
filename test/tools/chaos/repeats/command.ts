/**
 * `npm run chaos -- repeats [--scale 1] [--only NAME] [--storm 600] [--seed N]`: counts the steps that run again because of
 * a fault. One scenario for each fault, then a storm of all of them. Exits with 1 if a step ran again although no process
 * died.
 */
import { parseArgs } from 'node:util';
import { runScenario } from './run.ts';
import { scenarios } from './scenarios.ts';
import { runStorm } from './storm.ts';

export async function runRepeatsCommand(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      scale: { type: 'string', default: '1' },
      only: { type: 'string' },
      storm: { type: 'string', default: '600' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  });
  const [scale = 0, stormSeconds = -1, seed = -1] = [values.scale, values.storm, values.seed].map(Number);
  if (!(scale > 0 && scale <= 10) || !(stormSeconds >= 0) || !Number.isSafeInteger(seed)) {
    console.error(
      'usage: npm run chaos -- repeats [--scale FACTOR_OF_ALL_TIMES] [--only NAME] [--storm SECONDS] [--seed N]',
    );
    return 2;
  }
  let passed = true;

  const selected = Object.entries(scenarios).filter(([name]) => (values.only ?? name) === name);
  if (selected.length > 0) console.log('| fault | tasks | steps | steps repeated | not completed | |');
  if (selected.length > 0) console.log('| --- | ---: | ---: | ---: | ---: | --- |');
  for (const [name, scenario] of selected) {
    const { tasks, steps, repeated, notCompleted, note } = await runScenario(scenario, scale);
    console.log(`| ${name} | ${tasks} | ${steps} | ${repeated} | ${notCompleted} | ${note} |`);
    passed &&= repeated === 0 && notCompleted === 0;
  }

  if (stormSeconds > 0) {
    console.log(`\nstorm of ${stormSeconds} s, seed ${seed}\n\n| fault | caused | steps repeated |`);
    console.log('| --- | ---: | ---: |');
    const stepSeconds = Math.max(2, 20 * scale);
    for (const [kind, { caused, repeated }] of await runStorm({
      seed,
      seconds: stormSeconds,
      stepSeconds,
      tasks: 40,
    })) {
      console.log(`| ${kind} | ${caused} | ${repeated} |`);
      passed &&= kind === 'kill' || repeated === 0;
    }
  }
  console.log(passed ? '\nPASSED' : '\nFAILED');
  return passed ? 0 : 1;
}
