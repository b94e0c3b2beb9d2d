/**
 * `npm run bench`: measures Longhaul and its peers on this machine, in one run, and writes the figures to docs/bench/. With
 * names after `--` it runs those cases alone, and keeps the earlier figures of the others.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { acceptCase } from './cases/accept.ts';
import { contentsCase } from './cases/contents.ts';
import { conversationsCase } from './cases/conversations.ts';
import { coldStartCase, memoryCase, sqlCase } from './cases/costs.ts';
import { geminiCase } from './cases/gemini.ts';
import { eventsCase, latencyCase } from './cases/latency.ts';
import { getTaskCase, listTasksCase } from './cases/reads.ts';
import { recoveryCase } from './cases/recovery.ts';
import { mcpCase } from './cases/mcp.ts';
import { viewsCase } from './cases/views.ts';
import { waitsCase } from './cases/waits.ts';
import { webhooksCase } from './cases/webhooks.ts';
import { stepsCase, wholeCase } from './cases/whole.ts';
import { formatFigures, formatValue } from './figures.ts';
import { plot } from './plot.ts';
import { startServer } from './rig.ts';
import { isMet, type BenchCase, type CaseResult, type Figure } from './rounds.ts';

const cases: Record<string, BenchCase> = {
  accept: acceptCase,
  whole: wholeCase,
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
};

interface Results {
  machine: string;
  cases: Record<string, CaseResult>;
}

const folder = path.join(import.meta.dirname, '../../../docs/bench');
const file = path.join(folder, 'results.json');
const selected = process.argv.slice(2);
const unknown = selected.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) {
  console.error(`unknown case ${unknown.join(', ')}: use ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}

const cpu = os.cpus()[0]?.model ?? 'unknown CPU';
const memoryGb = Math.round(os.totalmem() / 2 ** 30);
const machine = `${os.availableParallelism()} cores of ${cpu}, ${memoryGb} GB, ${os.type()} ${os.release()}, Node ${process.version}`;
const results: Results = existsSync(file)
  ? { ...(JSON.parse(readFileSync(file, 'utf8')) as Results), machine }
  : { machine, cases: {} };
console.log(machine);

const failed: string[] = [];
const server = await startServer();
try {
  for (const [name, run] of Object.entries(cases)) {
    if (selected.length > 0 && !selected.includes(name)) continue;
    const started = Date.now();
    const [loadBefore = 0] = os.loadavg();
    const figures = await run().catch((error: unknown) => {
      console.error(`\n${name} failed:`, error);
      failed.push(name);
    });
    if (figures === undefined) continue;
    const seconds = Math.round((Date.now() - started) / 1000);
    results.cases[name] = { at: new Date(started).toISOString(), seconds, loadBefore, figures };
    console.log(`\n${name} (${seconds} s, load before ${loadBefore.toFixed(1)})`);
    for (const figure of figures) console.log(`  ${describe(figure)}`);
    writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`);
    writeFileSync(path.join(folder, 'bench.svg'), plot(results.cases));
    writeFileSync(path.join(folder, 'figures.md'), formatFigures(machine, results.cases));
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
