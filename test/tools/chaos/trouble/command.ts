/**
 * `npm run chaos -- trouble [--seconds 300] [--rate 1] [--only PARTNER[:FAULT],…] [--errors]`: puts each partner of the
 * system in trouble in turn. Exits with 1 if a task failed, a waiting task did not say so, or a recovery took too long.
 */
import { parseArgs } from 'node:util';
import { createCleanup } from '../../../support/cleanup.ts';
import { allTroubles, runTrouble, stages, type Trouble, type TroubleResult } from './run.ts';
import { startTroubleSystem } from './system.ts';

const usage =
  'usage: npm run chaos -- trouble [--seconds 300] [--rate TASKS_A_SECOND] [--only PARTNER[:FAULT],…] [--errors]';

/** @returns the exit status */
export async function runTroubleCommand(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '300' },
      rate: { type: 'string', default: '1' },
      only: { type: 'string' },
      errors: { type: 'boolean', default: false },
    },
  });
  const [seconds, tasksPerSecond] = [Number(values.seconds), Number(values.rate)];
  const troubles = selectTroubles(values.only);
  if (!(seconds > 0 && seconds <= 3600) || !(tasksPerSecond > 0) || troubles === undefined) {
    console.error(usage);
    return 2;
  }
  const cleanup = createCleanup();
  const results: TroubleResult[] = [];
  try {
    const system = await startTroubleSystem(cleanup);
    for (const trouble of troubles) {
      const from = system.errors.length;
      const result = await runTrouble(system, trouble, { faultMs: seconds * 1000, tasksPerSecond });
      results.push(result);
      console.log(formatRow(result));
      for (const line of result.failed.slice(0, 5)) console.log(`  ${line}`);
      for (const line of result.late) console.log(`  late: ${line}`);
      if (values.errors) for (const line of system.errors.slice(from)) console.log(line);
    }
  } finally {
    await cleanup.run();
  }
  console.log(
    `\n| partner | fault | tasks | failed | waiting, and said so | accepted, ended, delivered after | |`,
  );
  console.log('|---|---|---:|---:|---:|---:|---|');
  for (const result of results) console.log(formatRow(result));
  return results.every(({ passed }) => passed) ? 0 : 1;
}

/** @returns undefined if a name is unknown */
function selectTroubles(only: string | undefined): readonly Trouble[] | undefined {
  if (only === undefined) return allTroubles;
  const selected = only.split(',').map((name) => {
    const [partner, fault] = name.split(':');
    return allTroubles.filter(
      (trouble) => trouble.partner === partner && (fault ?? trouble.fault) === trouble.fault,
    );
  });
  return selected.every(({ length }) => length > 0) ? selected.flat() : undefined;
}

function formatRow({
  partner,
  fault,
  accepted,
  failed,
  waiting,
  saying,
  recoveryMs,
  passed,
}: TroubleResult): string {
  const said = waiting === 0 ? '–' : `${saying} of ${waiting}`;
  const cells = [
    partner,
    fault,
    accepted,
    failed.length,
    said,
    `${stages.map((stage) => (recoveryMs[stage] / 1000).toFixed(1)).join(', ')} s`,
    passed ? '' : 'FAILED',
  ];
  return `| ${cells.join(' | ')} |`;
}
