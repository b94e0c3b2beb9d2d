/** Chaos runs as a Markdown table with a column for each seed. docs/reliability.md explains the rows. */
import { getPercentile } from '../percentile.ts';
import { mustBeEmpty } from './check.ts';
import type { Fault } from './faults.ts';
import type { ClassifiedRecovery } from './recovery.ts';
import type { ChaosResult } from './run.ts';

export function formatReport(results: readonly ChaosResult[]): string {
  const columns = results.map(createRows);
  const names = columns[0]?.map(([name]) => name) ?? [];
  const table = names.map((name, row) =>
    formatLine([name, ...columns.map((column) => String(column[row]?.[1]))]),
  );
  table.splice(1, 0, formatLine(['---', ...columns.map(() => '---:')]));
  const details = results.flatMap(({ seed, findings }) =>
    mustBeEmpty.flatMap((name) =>
      findings[name].slice(0, 10).map((finding) => `  seed ${seed}: ${name}: ${finding}`),
    ),
  );
  const passed = results.every((result) => result.passed);
  return [...table, '', ...details, passed ? 'PASSED' : 'FAILED'].join('\n');
}

const formatLine = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

function createRows(result: ChaosResult): [string, string | number][] {
  const { findings, faults, recoveries } = result;
  const count = (...kinds: Fault['kind'][]): number =>
    faults.filter(({ kind }) => kinds.includes(kind)).length;
  return [
    ['seed', result.seed],
    ['minutes of faults', Math.round(result.seconds / 6) / 10],
    ['processes killed', count('kill')],
    ['processes terminated', count('terminate')],
    ['processes paused', count('pause')],
    ['PostgreSQL killed', count('postgres')],
    ['Pub/Sub, Cloud Tasks emptied', count('pubsub', 'cloud_tasks')],
    ['receivers all down', count('receivers')],
    ['tasks accepted', result.accepted.length],
    ['messages accepted', result.messages],
    ['requests repeated by clients', result.sendsRepeated],
    ['streams', result.streams.opened],
    ['streams resumed', result.streams.resumed],
    ...mustBeEmpty.map((name): [string, number] => [`**${name}**`, findings[name].length]),
    ['calls repeated after a fault', findings.repeatedCalls],
    ['repeated deliveries', findings.repeatedDeliveries],
    ...formatGaps(recoveries),
    ['quiet after healing', `${(result.quietAfterMs / 1000).toFixed(1)} s`],
  ];
}

/** After a SIGKILL the lease must run out first, so a hindered wake-up makes no difference. */
export function formatGaps(recoveries: readonly ClassifiedRecovery[]): [string, string][] {
  const select = (signal: ClassifiedRecovery['signal']) =>
    recoveries.filter((recovery) => recovery.signal === signal);
  return [
    ['gap after SIGKILL', formatPercentiles(select('SIGKILL'))],
    ['gap after SIGTERM', formatPercentiles(select('SIGTERM').filter(({ hindered }) => !hindered))],
    ['… hindered', formatPercentiles(select('SIGTERM').filter(({ hindered }) => hindered))],
  ];
}

/** Formats "p50 / p99 s (turns)". */
function formatPercentiles(recoveries: readonly ClassifiedRecovery[]): string {
  const sorted = recoveries.map(({ ms }) => ms / 1000).toSorted((a, b) => a - b);
  if (sorted.length === 0) return '-';
  const format = (share: number): string => (getPercentile(sorted, share) ?? 0).toFixed(2);
  return `${format(0.5)} / ${format(0.99)} s (${sorted.length})`;
}
