/** The results as tables in Markdown. */
import os from 'node:os';
import type { ServiceKind } from '../../../support/stack.ts';
import { attacks, getAttack, ordinaryRow } from './attacks.ts';
import { stages, type Latency, type Operation, type PhaseReport } from './samples.ts';
import type { ScenarioResult } from './scenario.ts';
import { findExceeded } from './verdict.ts';

export const tableHead = [
  '| row | SendMessage | whole task | GetTask | webhook | peak MiB: api, worker, dispatcher | ended | unanswered, lost | verdict |',
  '|---|---|---|---|---|---|---|---|---|',
].join('\n');

/** `p50 / p99` in ms: alone → next to the hostile owner, and the ratio of the p99. */
export function formatRow(result: ScenarioResult): string {
  const { services, good } = result;
  const { alone, hostile } = good.phases;
  const latency = (operation: Operation) => {
    const [before, after] = [alone.latencies[operation], hostile.latencies[operation]];
    return `${formatChange(before, after)} (×${(after.p99 / before.p99).toFixed(1)})`;
  };
  const { api, worker, dispatcher } = services;
  const crashes = Object.entries(services).flatMap(([kind, usage]) =>
    usage.crashes.map((crash) => `${kind} ${crash}`),
  );
  const exceeded = findExceeded(result);
  return `| ${[
    getName(result),
    latency('send'),
    latency('task'),
    latency('get'),
    latency('webhook'),
    [api, worker, dispatcher].map(({ peakMib }) => peakMib).join(', '),
    countEach(crashes),
    formatLost(hostile),
    exceeded.length === 0 ? 'within bounds' : `**exceeded**: ${exceeded.join('; ')}`,
  ].join(' | ')} |`;
}

/** Describes the hostile owners and the outcomes of their requests. */
export function formatCounts(result: ScenarioResult): string {
  const { counts, good, loadBefore } = result;
  const lines = Object.entries(counts).map(([row, outcome]) => {
    const outcomes = Object.entries(outcome).map(([name, count]) => `${name}: ${count}`);
    return `  ${row}. ${getAttack(Number(row)).title} (${outcomes.join(', ')})`;
  });
  const errors = Object.entries(good.errors).map(([kind, count]) => `  ${count} × repeated after ${kind}`);
  return [
    `  load average before: ${loadBefore.toFixed(1)}`,
    formatStages(good.phases),
    ...formatUsage(result),
    ...lines,
    ...errors,
  ].join('\n');
}

/** Where a whole task of the measured owner spends its time. */
function formatStages({ alone, hostile }: ScenarioResult['good']['phases']): string {
  const parts = stages.map((stage) => `${stage} ${formatChange(alone.stages[stage], hostile.stages[stage])}`);
  return `  whole task, p50 / p99 in ms of each stage: ${parts.join(', ')}`;
}

/** The times for which requests of the measured owner wait in each event loop, and the users of the cores. */
function formatUsage({ usage, hostileCpu = 0 }: ScenarioResult): string[] {
  if (usage === undefined) return [];
  const { alone, hostile } = usage;
  const kinds = ['api', 'worker', 'dispatcher', 'good'] as const;
  const format = (p99: 'delayP99Ms' | 'busyP99Ms', max: 'delayMaxMs' | 'busyMaxMs') =>
    kinds
      .map((kind) => {
        const [before, after] = [alone.loops[kind], hostile.loops[kind]].map((loop) =>
          loop === undefined ? '–' : `${loop[p99].toFixed(0)} / ${loop[max].toFixed(0)}`,
        );
        return `${getProcess(kind)} ${before} → ${after}`;
      })
      .join(', ');
  const cores = [
    ...kinds.map((kind) => [getProcess(kind), alone.loops[kind]?.cpu, hostile.loops[kind]?.cpu] as const),
    ['PostgreSQL', alone.machine.postgres, hostile.machine.postgres] as const,
    [`all ${os.availableParallelism()} of the machine`, alone.machine.all, hostile.machine.all] as const,
    ['taken by its host', alone.machine.stolen, hostile.machine.stolen] as const,
  ];
  const waiting = [
    ...kinds.map(
      (kind) => [getProcess(kind), alone.loops[kind]?.waiting, hostile.loops[kind]?.waiting] as const,
    ),
    ['PostgreSQL', alone.machine.postgresWaiting, hostile.machine.postgresWaiting] as const,
  ];
  const formatAll = (averages: readonly (readonly [string, number | undefined, number | undefined])[]) =>
    averages
      .map(([name, before = 0, after = 0]) => `${name} ${before.toFixed(2)} → ${after.toFixed(2)}`)
      .join(', ');
  return [
    `  event loop delayed, p99 / max in ms: ${format('delayP99Ms', 'delayMaxMs')}`,
    `  event loop busy at once, p99 / max in ms of CPU: ${format('busyP99Ms', 'busyMaxMs')}`,
    `  cores used: ${formatAll(cores)}, hostile process ${hostileCpu.toFixed(2)}`,
    `  waiting for a core, on average: ${formatAll(waiting)}`,
  ];
}

function getProcess(kind: ServiceKind | 'good'): string {
  return kind === 'good' ? 'measuring process' : kind;
}

function getName({ rows, burn = 0 }: ScenarioResult): string {
  if (rows.length === 0) return `${burn} cores`;
  if (rows[0] === ordinaryRow) return 'ordinary';
  return rows.length === 1 ? String(rows[0]) : rows.length === attacks.length ? 'all' : rows.join('+');
}

function formatChange(before: Latency, after: Latency): string {
  const format = ({ p50, p99 }: Latency) => `${formatMs(p50)} / ${formatMs(p99)}`;
  return `${format(before)} → ${format(after)}`;
}

function formatMs(ms: number): string {
  return ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
}

function formatLost({ unanswered, tasksLost, webhooksLost }: PhaseReport): string {
  const lost = { unanswered, tasks: tasksLost, webhooks: webhooksLost };
  const parts = Object.entries(lost).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : []));
  return parts.length === 0 ? '0' : parts.join(', ');
}

function countEach(names: readonly string[]): string {
  const counts = Map.groupBy(names, (name) => name);
  return counts.size === 0 ? '0' : [...counts].map(([name, same]) => `${same.length} × ${name}`).join(', ');
}
