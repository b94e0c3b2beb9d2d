/** Chaos runs as a Markdown table, a column for each seed; docs/reliability.md tells what the rows mean. */
import { mustBeEmpty } from './check.ts';
import type { Fault } from './faults.ts';
import type { Recovery } from './recovery.ts';
import type { ChaosResult } from './run.ts';

export function reportOf(results: readonly ChaosResult[]): string {
  const columns = results.map(rowsOf);
  const names = columns[0]?.map(([name]) => name) ?? [];
  const table = names.map((name, row) => line([name, ...columns.map((column) => String(column[row]?.[1]))]));
  table.splice(1, 0, line(['---', ...columns.map(() => '---:')]));
  const details = results.flatMap(({ seed, findings }) =>
    mustBeEmpty.flatMap((name) =>
      findings[name].slice(0, 10).map((what) => `  seed ${seed}: ${name}: ${what}`),
    ),
  );
  const passed = results.every((result) => result.passed);
  return [...table, '', ...details, passed ? 'PASSED' : 'FAILED'].join('\n');
}

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

function rowsOf(result: ChaosResult): [string, string | number][] {
  const { findings, faults, recoveries } = result;
  const count = (...kinds: Fault['what'][]): number =>
    faults.filter(({ what }) => kinds.includes(what)).length;
  return [
    ['seed', result.seed],
    ['minutes of faults', Math.round(result.seconds / 6) / 10],
    ['processes killed', count('kill')],
    ['processes told to stop', count('terminate')],
    ['processes paused', count('pause')],
    ['PostgreSQL killed', count('postgres')],
    ['Pub/Sub, Cloud Tasks emptied', count('pubsub', 'cloud tasks')],
    ['receivers all down', count('receivers')],
    ['tasks accepted', result.accepted.length],
    ['messages accepted', result.messages],
    ['requests repeated by clients', result.sendsRepeated],
    ['streams', result.streams.opened],
    ['streams taken up again', result.streams.resumed],
    ...mustBeEmpty.map((name): [string, number] => [`**${name}**`, findings[name].length]),
    ['calls repeated after a fault', findings.repeatedCalls],
    ['repeated deliveries', findings.repeatedDeliveries],
    ...gapsOf(recoveries),
    ['quiet after healing', `${(result.quietAfterMs / 1000).toFixed(1)} s`],
  ];
}

/** After SIGKILL the lease is waited for, and what hinders a wakeup meanwhile is no matter. */
export function gapsOf(recoveries: readonly Recovery[]): [string, string][] {
  const of = (how: Recovery['how']) => recoveries.filter((one) => one.how === how);
  return [
    ['gap after SIGKILL', percentiles(of('SIGKILL'))],
    ['gap after SIGTERM', percentiles(of('SIGTERM').filter(({ hindered }) => !hindered))],
    ['… hindered', percentiles(of('SIGTERM').filter(({ hindered }) => hindered))],
  ];
}

/** "p50 / p99 s (turns)". */
function percentiles(recoveries: readonly Recovery[]): string {
  const sorted = recoveries.map(({ ms }) => ms / 1000).toSorted((a, b) => a - b);
  if (sorted.length === 0) return '-';
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2);
  return `${at(0.5)} / ${at(0.99)} s (${sorted.length})`;
}
