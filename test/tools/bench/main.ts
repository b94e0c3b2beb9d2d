/**
 * `npm run bench`: measures Longhaul and its peers on this machine, in one run, and writes the figures to docs/bench/. With
 * names after `--` it runs those cases alone, and keeps the earlier figures of the others. The case `aged` runs only by its
 * name, because it loads millions of tasks first:
 *
 *   npm run bench -- aged [--tasks N] [--data DIR] [--load-only]
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { acceptCase } from './cases/accept.ts';
import { agedCase } from './cases/aged/case.ts';
import { contentsCase } from './cases/contents.ts';
import { conversationsCase } from './cases/conversations.ts';
import { coldStartCase, memoryCase, sqlCase } from './cases/costs.ts';
import { geminiCase } from './cases/gemini.ts';
import { eventsCase, latencyCase } from './cases/latency.ts';
import { getTaskCase, listTasksCase } from './cases/reads.ts';
import { recoveryCase } from './cases/recovery.ts';
import { limitsCase } from './cases/limits.ts';
import { mcpCase } from './cases/mcp.ts';
import { viewsCase } from './cases/views.ts';
import { waitsCase } from './cases/waits.ts';
import { webhooksCase } from './cases/webhooks.ts';
import { stepsCase, wholeCase } from './cases/whole.ts';
import { formatFigures, formatValue } from './figures.ts';
import { plot } from './plot.ts';
import { startServer } from './rig.ts';
import { isMet, type BenchCase, type CaseResult, type Figure } from './rounds.ts';

const { values: flags, positionals: selected } = parseArgs({
  allowPositionals: true,
  options: {
    tasks: { type: 'string', default: '10000000' },
    data: { type: 'string' },
    'load-only': { type: 'boolean', default: false },
  },
});
const agedTasks = Number(flags.tasks);
/** Millions of tasks. Smaller runs try the case: their figures are not published. */
const leastPublished = 1;

const cases: Record<string, BenchCase> = {
  accept: acceptCase,
  whole: wholeCase,
  limits: limitsCase,
  steps: stepsCase,
  conversations: conversationsCase,
  waits: waitsCase,
  gemini: geminiCase,
  latency: latencyCase,
  events: eventsCase,
  getTask: getTaskCase,
  listTasks: listTasksCase,
  views: viewsCase,
  mcp: mcpCase,
  webhooks: webhooksCase,
  recovery: recoveryCase,
  coldStart: coldStartCase,
  memory: memoryCase,
  sql: sqlCase,
  contents: contentsCase,
  aged: () => agedCase({ tasks: agedTasks, dataDir: flags.data, loadOnly: flags['load-only'] }),
};

interface Results {
  cases: Record<string, CaseResult>;
}

const folder = path.join(import.meta.dirname, '../../../docs/bench');
const file = path.join(folder, 'results.json');
const unknown = selected.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) {
  console.error(`unknown case ${unknown.join(', ')}: use ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}
if (!Number.isInteger(agedTasks) || agedTasks < 10_000 || agedTasks > 100_000_000) {
  console.error(`--tasks is not valid: expected a number from 10,000 to 100,000,000, not "${flags.tasks}"`);
  process.exit(2);
}

const cpu = os.cpus()[0]?.model ?? 'unknown CPU';
const memoryGb = Math.round(os.totalmem() / 2 ** 30);
const machine = `${os.availableParallelism()} cores of ${cpu}, ${memoryGb} GB, ${os.type()} ${os.release()}, Node ${process.version}`;
const results: Results = existsSync(file)
  ? (JSON.parse(readFileSync(file, 'utf8')) as Results)
  : { cases: {} };
console.log(machine);

const failed: string[] = [];
const server = await startServer();
try {
  for (const [name, run] of Object.entries(cases)) {
    if (selected.length > 0 ? !selected.includes(name) : name === 'aged') continue;
    const started = Date.now();
    const [loadBefore = 0] = os.loadavg();
    const figures = await run().catch((error: unknown) => {
      console.error(`\n${name} failed:`, error);
      failed.push(name);
    });
    if (figures === undefined) continue;
    const seconds = Math.round((Date.now() - started) / 1000);
    console.log(`\n${name} (${seconds} s, load before ${loadBefore.toFixed(1)})`);
    for (const figure of figures) console.log(`  ${describe(figure)}`);
    if (name === 'aged') {
      if (!figures.every(isMet)) failed.push(name);
      if ((figures.find((figure) => figure.name === 'tasks stored')?.value ?? 0) < leastPublished) continue;
    }
    results.cases[name] = { machine, at: new Date(started).toISOString(), seconds, loadBefore, figures };
    writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`);
    writeFileSync(path.join(folder, 'bench.svg'), plot(results.cases));
    writeFileSync(path.join(folder, 'figures.md'), formatFigures(results.cases));
  }
} finally {
  await server.stop();
}
process.exit(failed.length > 0 ? 1 : 0);

function describe(figure: Figure): string {
  const { name, value, unit, target } = figure;
  const measured = `${name.padEnd(46)} ${formatValue(value).padStart(9)} ${unit}`;
  if (target === undefined) return measured;
  return `${measured.padEnd(62)} ${isMet(figure) ? 'met' : 'MISSED'}: at ${target.at} ${target.value}`;
}
