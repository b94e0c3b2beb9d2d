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
  const gaps = (how: Recovery['how'], hindered: boolean): string =>
    percentiles(recoveries.filter((one) => one.how === how && one.hindered === hindered));
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
    ['gap after SIGKILL', gaps('SIGKILL', false)],
    ['… hindered', gaps('SIGKILL', true)],
    ['gap after SIGTERM', gaps('SIGTERM', false)],
    ['… hindered', gaps('SIGTERM', true)],
    ['quiet after healing', `${(result.quietAfterMs / 1000).toFixed(1)} s`],
  ];
}

/** "p50 / p99 s (turns)". */
export function percentiles(recoveries: readonly Recovery[]): string {
  const sorted = recoveries.map(({ ms }) => ms / 1000).toSorted((a, b) => a - b);
  if (sorted.length === 0) return '-';
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2);
  return `${at(0.5)} / ${at(0.99)} s (${sorted.length})`;
}
