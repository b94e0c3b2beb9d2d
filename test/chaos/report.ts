/** A chaos run as a table for people. */
import { mustBeEmpty } from './check.ts';
import type { ChaosResult } from './run.ts';

export function reportOf(result: ChaosResult): string {
  const { findings, faults, recoveries } = result;
  const counted = [...Map.groupBy(faults, (fault) => fault.what)].map(
    ([what, all]) => `${what} ${all.length}`,
  );
  const rows: [string, string | number][] = [
    ['seed', result.seed],
    ['faults', `${faults.length} (${counted.join(', ')})`],
    ['tasks accepted', result.accepted.length],
    ['messages accepted', result.messages],
    ['requests repeated by clients', result.sendsRepeated],
    ['streams, and how often resumed', `${result.streams.opened}, ${result.streams.resumed}`],
    ...mustBeEmpty.map((name): [string, number] => [name, findings[name].length]),
    ['calls repeated after a fault', findings.repeatedCalls],
    ['repeated deliveries', findings.repeatedDeliveries],
    ['recovery after SIGKILL, p50 / p99', percentiles(recoveries, 'SIGKILL')],
    ['recovery after SIGTERM, p50 / p99', percentiles(recoveries, 'SIGTERM')],
    ['quiet after healing', `${(result.quietAfterMs / 1000).toFixed(1)} s`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const details = mustBeEmpty.flatMap((name) =>
    findings[name].slice(0, 10).map((line) => `  ${name}: ${line}`),
  );
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    ...(details.length > 0 ? ['', ...details] : []),
    '',
    result.passed ? 'PASSED' : 'FAILED',
  ].join('\n');
}

export function percentiles(recoveries: ChaosResult['recoveries'], how: 'SIGKILL' | 'SIGTERM'): string {
  const sorted = recoveries.filter((one) => one.how === how).map((one) => one.ms);
  sorted.sort((a, b) => a - b);
  if (sorted.length === 0) return '- (0 turns)';
  const at = (share: number): string =>
    `${((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) / 1000).toFixed(2)} s`;
  return `${at(0.5)} / ${at(0.99)} (${sorted.length} turns)`;
}
