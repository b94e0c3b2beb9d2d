/** Usage as series for a plot: one for each model or owner, with a value for each day. Pure. */
import { sumUsage, totalTokens, type Usage } from '#shared/domain/usage.ts';

export type Measure = 'cost' | 'tokens' | 'calls';

/** A report whose lines have the name that they are grouped by. */
export interface NamedUsage {
  since: string;
  until: string;
  lines: readonly UsageLine[];
}

type UsageLine = Usage & { day: string; name: string };

export interface UsageSeries {
  /** Seconds since 1970 of the start of each day, in UTC. */
  days: number[];
  /** Those with the most first. The values are stacked: each includes those of the entries after it. */
  entries: { name: string; values: number[]; stacked: number[] }[];
}

/** More than these are added up as "other". */
const mostEntries = 6;
const dayMs = 86_400_000;

export const toDay = (time: number): string => new Date(time).toISOString().slice(0, 10);

export function createSeries({ since, until, lines }: NamedUsage, measure: Measure): UsageSeries {
  const first = Date.parse(since);
  const count = Math.round((Date.parse(until) - first) / dayMs) + 1;
  const days = Array.from({ length: count }, (_, index) => first / 1000 + index * 86_400);
  const byName = new Map<string, number[]>();
  for (const line of lines) {
    const values = byName.get(line.name) ?? Array.from({ length: count }, () => 0);
    byName.set(line.name, values);
    const index = Math.round((Date.parse(line.day) - first) / dayMs);
    values[index] = (values[index] ?? 0) + getValue(line, measure);
  }
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const sorted = [...byName]
    .map(([name, values]) => ({ name, values }))
    .sort((a, b) => sum(b.values) - sum(a.values));
  const shown = sorted.slice(0, mostEntries);
  const others = sorted.slice(mostEntries);
  if (others.length > 0) {
    const values = days.map((_, index) => sum(others.map((entry) => entry.values[index] ?? 0)));
    shown.push({ name: 'other', values });
  }
  const entries = shown.map(({ name, values }, at) => ({
    name,
    values,
    stacked: days.map((_, index) => sum(shown.slice(at).map((entry) => entry.values[index] ?? 0))),
  }));
  return { days, entries };
}

/** The usage of each model or owner over all days, the most costly first. */
export function sumByName(lines: readonly UsageLine[]): { name: string; usage: Usage }[] {
  const sums = new Map<string, Usage>();
  for (const { name, day: _day, ...usage } of lines) {
    const known = sums.get(name);
    sums.set(name, known === undefined ? usage : sumUsage(known, usage));
  }
  return [...sums]
    .map(([name, usage]) => ({ name, usage }))
    .sort((a, b) => b.usage.cost - a.usage.cost || b.usage.calls - a.usage.calls);
}

function getValue(usage: Usage, measure: Measure): number {
  if (measure === 'tokens') return totalTokens(usage.tokens);
  return usage[measure];
}
