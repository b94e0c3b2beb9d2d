/**
 * `npm run bench`: measures the system beside its peers, on this machine and in one run, and writes what it found to
 * docs/bench/. With names after `--` it runs those cases alone, and keeps what was found before for the others.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { accept } from './cases/accept.ts';
import { coldStart, memory, sql } from './cases/costs.ts';
import { getTask, listTasks } from './cases/reads.ts';
import { webhooks } from './cases/webhooks.ts';
import { events, latency, steps, whole } from './cases/whole.ts';
import { plot } from './plot.ts';
import { startServer } from './rig.ts';
import { isMet, type Case, type Figure, type Result } from './rounds.ts';
import { shown, table } from './table.ts';

const cases: Record<string, Case> = {
  accept,
  whole,
  steps,
  latency,
  events,
  getTask,
  listTasks,
  webhooks,
  coldStart,
  memory,
  sql,
};

interface Results {
  machine: string;
  cases: Record<string, Result>;
}

const folder = path.join(import.meta.dirname, '../../../docs/bench');
const file = path.join(folder, 'results.json');
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) {
  console.error(`There is no case ${unknown.join(', ')}: use ${Object.keys(cases).join(', ')}`);
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
    if (asked.length > 0 && !asked.includes(name)) continue;
    const began = Date.now();
    const [loadBefore = 0] = os.loadavg();
    const figures = await run().catch((error: unknown) => {
      console.error(`\n${name} failed:`, error);
      failed.push(name);
    });
    if (figures === undefined) continue;
    const seconds = Math.round((Date.now() - began) / 1000);
    results.cases[name] = { at: new Date(began).toISOString(), seconds, loadBefore, figures };
    console.log(`\n${name} (${seconds} s, load before ${loadBefore.toFixed(1)})`);
    for (const figure of figures) console.log(`  ${describe(figure)}`);
    writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`);
    writeFileSync(path.join(folder, 'bench.svg'), plot(results.cases));
    writeFileSync(path.join(folder, 'figures.md'), table(machine, results.cases));
  }
} finally {
  await server.stop();
}
process.exit(failed.length > 0 ? 1 : 0);

function describe(figure: Figure): string {
  const { name, value, unit, target } = figure;
  const measured = `${name.padEnd(46)} ${shown(value).padStart(9)} ${unit}`;
  if (target === undefined) return measured;
  return `${measured.padEnd(62)} ${isMet(figure) ? 'met' : 'MISSED'}: at ${target.at} ${target.value}`;
}
